"""Which files a package consists of, by their names."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

SUMS = "SHA256SUMS"
METADATA = "configs/metadata.json"
CARD = "docs/README.md"
REPORT = "docs/report.html"
METRICS = "docs/metrics.json"
REQUIREMENTS = "requirements.txt"
LARGE_FILES = "large_files.yml"
BILL_OF_MATERIALS = "sbom.cdx.json"
MODEL = "models/model.pt"
ENSEMBLE = "models/ensemble.json"
RUNS = tuple(f"configs/{name}.json" for name in ("train", "evaluate", "inference"))
NEEDED = (SUMS, "LICENSE", REQUIREMENTS, BILL_OF_MATERIALS, METADATA, "configs/logging.conf", CARD, *RUNS)
OPTIONAL = (LARGE_FILES, REPORT, METRICS, MODEL, ENSEMBLE)
FOLD = re.compile(r"models/fold_(\d+)\.pt", re.ASCII)
WEIGHTS = re.compile(r"models/\w[\w.-]*\.(pt|pth|safetensors)", re.ASCII)
# Left beside a package by Hugging Face's hub, by a download from it, and by MONAI's push_to_hf_hub; nothing reads them.
LEFT_BY_HUB = re.compile(
    r"README\.md|\.gitattributes"
    r"|\.cache/huggingface/(\.gitignore|CACHEDIR\.TAG|trees/[0-9a-f]{40}\.json|download/[\w./-]+\.(metadata|lock))",
    re.ASCII,
)
CODE = re.compile(r"scripts/([a-z]\w*/)*\w+\.(py|html|css|js|md)", re.ASCII)
PACKED_AGAIN = "ask its sender for it again"


def fold_model(fold: int) -> str:
    """Of a network of an ensemble, from 0."""
    return f"models/fold_{fold}.pt"


def require_package_file(name: str, place: str | Path) -> None:
    """name: with slashes, below the folder of a package. Raises ValueError, which begins with `place`."""
    if name not in (*NEEDED, *OPTIONAL) and not WEIGHTS.fullmatch(name) and not CODE.fullmatch(name):
        left = "; it was left by Python, delete the folders __pycache__" if "__pycache__" in name else ""
        raise ValueError(f"{place}: {name!r} is no file of a package, which holds nothing else{left or f'; {PACKED_AGAIN}'}")


def files_of(folder: Path) -> list[str]:
    """All of a package's, sorted. Raises ValueError for one that no package has: a link, or another name."""
    found = sorted(name for name in _walk(folder) if not LEFT_BY_HUB.fullmatch(name))
    for name in found:
        require_package_file(name, folder)
    if missing := [name for name in NEEDED if name not in found]:
        raise ValueError(f"{folder} is no whole package: {missing[0]} is missing; {PACKED_AGAIN}")
    if not models_of(found):
        raise ValueError(f"{folder} is no whole package: it has no {MODEL}; {PACKED_AGAIN}")
    return found


def models_of(names: list[str]) -> list[str]:
    """The checkpoint, or all of an ensemble in their order."""
    folds = {int(found[1]): name for name in names if (found := FOLD.fullmatch(name))}
    return [MODEL] if MODEL in names else [folds[number] for number in sorted(folds)]


def encoder_of(names: list[str]) -> str | None:
    """The weights of the slice encoder, whether they came with the package or were fetched since."""
    return next((name for name in names if WEIGHTS.fullmatch(name) and name not in models_of(names)), None)


def is_package(folder: Path) -> bool:
    return (folder / SUMS).is_file()


def package_of(checkpoint: Path) -> Path | None:
    """The package that this is a model of."""
    folder = checkpoint.absolute().parent.parent
    return folder if checkpoint.parent.name == "models" and is_package(folder) else None


def _walk(folder: Path) -> Iterator[str]:
    """Names of files, and of folders in which there are none, with slashes. Links are not followed, but refused."""
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        path = Path(entry.path)
        kind = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(kind):
            inner = [f"{entry.name}/{name}" for name in _walk(path)]
            yield from inner or [f"{entry.name}/"]
        elif stat.S_ISREG(kind):
            yield entry.name
        else:
            raise ValueError(f"{path} is a link or a device, and a package holds files alone; {PACKED_AGAIN}")
