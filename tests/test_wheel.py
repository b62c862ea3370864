"""`pip install sam3d-bundle`: the wheel holds the bundle without its laboratory, and works where no clone is."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

NAME = "sam3d_bundle"
LIBRARIES = next(path for path in map(Path, sys.path) if path.name == "site-packages")
SOURCES = (
    "configs",
    "docs",
    "models",
    "scripts",
    "LICENSE",
    "README.md",
    "large_files.yml",
    "pyproject.toml",
    "requirements.txt",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since setuptools leaves its work beside the sources; one that holds weights and what Python left."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in SOURCES:
        source, target = ROOT / name, folder / "source" / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (folder / "source" / "models" / "sam_vit_b_01ec64.pth").touch()
    (folder / "source" / "scripts" / "__pycache__").mkdir(exist_ok=True)
    (folder / "source" / "scripts" / "__pycache__" / "left.cpython-311.pyc").touch()
    code = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", code], cwd=folder / "source", check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(found for found in archive.namelist() if found.endswith(f".dist-info/{name}"))).decode()


def expected() -> set[str]:
    """What a user of the bundle needs, as it lies in the tree."""
    found = {"LICENSE", "large_files.yml", "docs/data_license.txt", "models/README.md", "models/hippocampus.pt"}
    for pattern in ("configs/**/*", "docs/*.md", "scripts/**/*"):
        found |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()}
    return {f"{NAME}/{path}" for path in found if not {"research", "__pycache__"} & set(path.split("/"))}


def test_it_holds_the_bundle_without_the_laboratory_and_nothing_else(wheel: Path) -> None:
    assert {name for name in names(wheel) if ".dist-info/" not in name} == expected()


def test_it_adds_one_folder_and_one_command_to_an_environment(wheel: Path) -> None:
    assert re.fullmatch(rf"{NAME}-\d+\.\d+\.\d+-py3-none-any\.whl", wheel.name)
    assert {name.split("/")[0] for name in names(wheel)} == {NAME, f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
    assert read(wheel, "entry_points.txt").split() == ["[console_scripts]", "sam3d", "=", f"{NAME}.scripts.tools.launch:main"]


def test_its_metadata_has_what_an_index_requires(wheel: Path) -> None:
    metadata = email.message_from_string(read(wheel, "METADATA"))
    content = json.loads((ROOT / "configs" / "metadata.json").read_text())
    assert (metadata["Name"], metadata["Version"], metadata["License-Expression"]) == (
        "sam3d-bundle",
        content["version"],
        "Apache-2.0",
    )
    assert metadata["Author"] == content["authors"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text().strip()
    assert not [
        line for line in metadata.get_all("Classifier", []) if line.startswith("License ::")
    ]  # License-Expression says it
    required = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert required == (ROOT / "requirements.txt").read_text().split()


@pytest.fixture(scope="module")
def sam3d(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own; the libraries are those at hand, and no clone is among them."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    found = environment / "bin" / "python"
    place = subprocess.run([found, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True)
    Path(place.stdout.strip(), "libraries.pth").write_text(f"{LIBRARIES}\n")  # whose own .pth files are not followed
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([found, *install], check=True)
    return environment / "bin" / "sam3d"


def run(sam3d: Path, cwd: Path, *words: object) -> str:
    """The user's folders are in `cwd`, whose own `scripts` and `configs` are not the bundle's."""
    for name in ("scripts", "configs"):
        (cwd / name).mkdir(exist_ok=True)
    (cwd / "scripts" / "__init__.py").write_text("raise ImportError('another project')\n")
    environment = {**os.environ, "XDG_CACHE_HOME": str(cwd / "cache"), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment.pop("PYTHONPATH", None)
    result = subprocess.run([sam3d, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_it_knows_where_it_is_and_keeps_weights_among_the_users_files(sam3d: Path, tmp_path: Path) -> None:
    facts = json.loads(run(sam3d, tmp_path, "info", "--json"))
    assert Path(facts["bundle"]).name == NAME
    assert facts["installed"] == "from a wheel"
    assert facts["models_dir"] == str(tmp_path / "cache" / "sam3d-bundle" / "models")
    assert {"hippocampus", "phantoms"} <= facts["presets"].keys()
    assert "compare" not in facts["commands"]


@pytest.mark.slow
def test_sam3d_demo_makes_masks_from_any_folder(sam3d: Path, tmp_path: Path) -> None:
    said = run(sam3d, tmp_path, "demo", "--output", "demo")
    assert json.loads((tmp_path / "demo" / "evaluation" / "metrics.json").read_text())["mean_dice"] >= 0.85
    assert len(list((tmp_path / "demo" / "masks").glob("*_seg.nii.gz"))) == 6
    assert "site-packages" in said  # the bundle of each run is the installed one
    assert str(ROOT / "configs") not in said
