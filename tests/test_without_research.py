"""The laboratory rule: a copy of the bundle without its `research` folders installs, passes its checks, and does its work."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from runs.conftest import NARROW_CONFIG

pytestmark = pytest.mark.slow

FOLDERS = ("configs", "scripts", "tests", "docs")
FILES = (
    *("pyproject.toml", "requirements.txt", "requirements-dev.txt", "README.md", "AGENTS.md", "LICENSE", "large_files.yml"),
    *("models/README.md", "models/hippocampus.pt"),
)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("product") / "bundle"
    bundle.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, bundle / name, ignore=shutil.ignore_patterns("research", "__pycache__", ".*cache"))
    (bundle / "models").mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, bundle / name)
    assert not list(bundle.rglob("research"))
    return bundle


@pytest.fixture(scope="module")
def python(product: Path) -> Path:
    """Of an environment in which this copy is installed, and nothing of the original; libraries are those at hand."""
    environment = product.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    found = environment / "bin" / "python"
    libraries = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    site = subprocess.run([found, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True)
    # .pth files of the libraries' folder, an editable original among them, are not followed from here
    Path(site.stdout.strip(), "libraries.pth").write_text(f"{libraries}\n")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--editable", product]
    subprocess.run([found, *install], check=True)
    return found


def run(python: Path, cwd: Path, *words: object) -> str:
    result = subprocess.run([python, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def test_it_is_installed_and_knows_no_laboratory(product: Path, python: Path, tmp_path: Path) -> None:
    origin = run(python, tmp_path, "-c", "import sam3d_bundle.scripts as scripts; print(scripts.__file__)")
    assert Path(origin.strip()) == product / "scripts" / "__init__.py"


def test_it_passes_its_lint(product: Path, python: Path) -> None:
    run(python, product, "-m", "ruff", "check", ".")
    run(python, product, "-m", "ruff", "format", "--check", ".")


def test_its_tests_can_be_collected(product: Path, python: Path) -> None:
    assert "tests collected" in run(python, product, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")


def test_it_trains_evaluates_and_segments_phantoms(product: Path, python: Path, phantoms: Path, tmp_path: Path) -> None:
    narrow = product / NARROW_CONFIG.relative_to(ROOT)

    def bundle(run_id: str, *configs: str, **options: object) -> None:
        files = [str(product / "configs" / config) for config in configs] + [str(narrow)]
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        run(python, tmp_path, "-m", "monai.bundle", "run", run_id, "--config_file", files, "--bundle_root", product, *words)

    bundle("training", "train.json", dataset_dir=phantoms, output_dir=tmp_path / "run", max_epochs=1)
    checkpoint = tmp_path / "run" / "model.pt"
    evaluation, masks = tmp_path / "evaluation", tmp_path / "masks"
    bundle("evaluating", "train.json", "evaluate.json", dataset_dir=phantoms, checkpoint=checkpoint, output_dir=evaluation)
    assert (evaluation / "metrics.json").is_file()
    bundle("inference", "inference.json", input=phantoms / "images", checkpoint=checkpoint, output_dir=masks)
    report = json.loads((masks / "report.json").read_text())
    assert {entry["status"] for entry in report} == {"written"}
    assert len(report) == len(list((phantoms / "images").iterdir()))
