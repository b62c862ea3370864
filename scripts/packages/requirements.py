"""What a package needs to segment by itself, as it is installed here; and all that this brings along, with its licences."""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from typing import Any

from packaging.requirements import Requirement

# What `run inference` imports, measured by hiding every other package from it. Training needs requirements.txt of the bundle.
INFERENCE = (
    *("torch", "monai", "pytorch-ignite", "segment-anything", "nibabel", "numpy", "scipy", "matplotlib", "pillow", "jinja2"),
    *("markupsafe", "pyyaml", "fire", "tqdm", "psutil", "safetensors", "SimpleITK", "pydicom", "filelock"),
)
UNSAID = {"segment-anything": "Apache-2.0"}  # its metadata name no licence; its repository does
PIN = re.compile(r"([A-Za-z0-9-]+)==([\w.]+)", re.ASCII)


def pinned() -> dict[str, str]:
    """Package -> its version, without what a version says of its build: torch's +cpu is not on PyPI."""
    return {name: version(name).partition("+")[0] for name in INFERENCE}


def requirement_lines(pins: Mapping[str, str]) -> str:
    return "".join(f"{name}=={number}\n" for name, number in pins.items())


def wrong_requirement(text: str) -> str | None:
    """The first line that is more than a version of one of these: pip runs code of what it installs."""
    for line in text.splitlines():
        found = PIN.fullmatch(line)
        if not found or found[1] not in INFERENCE:
            return line
    return None


def bill_of_materials(name: str, number: str, models: Mapping[str, str]) -> dict[str, Any]:
    """CycloneDX 1.6. name, number: of the package and of its version. models: file -> sha256."""
    packages = [_component(found) for found in sorted(_closure(), key=lambda found: found.name.lower())]
    trained = [
        {
            "type": "machine-learning-model",
            "bom-ref": file,
            "name": file,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for file, digest in models.items()
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": name,
                "version": number,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [*trained, *packages],
        "dependencies": [{"ref": name, "dependsOn": [part["bom-ref"] for part in (*trained, *packages)]}],
    }


def _closure() -> list[Distribution]:
    """These packages and what they require here; what is optional and not installed is left out."""
    found: dict[str, Distribution] = {}
    waiting = list(INFERENCE)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        waiting.extend(_required_by(found[name]))
    return list(found.values())


def _required_by(package: Distribution) -> Iterator[str]:
    for line in package.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def _component(package: Distribution) -> dict[str, Any]:
    number = package.version.partition("+")[0]
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', package.name).lower()}@{number}"
    return {"type": "library", "bom-ref": purl, "name": package.name, "version": number, "purl": purl, **_licences(package)}


def _licences(package: Distribution) -> dict[str, Any]:
    """As its publisher words them: an expression of SPDX, classifiers, or one line of text."""
    words = package.metadata
    if package.name in UNSAID:
        return {"licenses": [{"license": {"id": UNSAID[package.name]}}]}
    if "License-Expression" in words:
        return {"licenses": [{"expression": words["License-Expression"]}]}
    classifiers = [line.rpartition(" :: ")[2] for line in words.get_all("Classifier") or () if line.startswith("License ::")]
    text = words["License"].strip() if "License" in words else ""
    names = classifiers or ([text] if text and "\n" not in text else [])
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}
