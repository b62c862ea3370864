"""Packages by MONAI's own commands, to and from servers in the layouts of the real ones, used where they land."""

import os
import subprocess
import sys
from pathlib import Path

import monai.bundle
import monai.bundle.scripts
import pytest
import torch
from conftest import ROOT

from scripts.data.phantoms import write_phantoms
from scripts.packages.check_package import check_package

from .conftest import Tamper
from .hubs import HuggingFace, ngc, release_page, serve

VERSION = "0.2.0"
RELEASE = "owner/repository/v1"
NAME = "mine_bundle"

pytestmark = pytest.mark.filterwarnings("ignore:No hash value provided:UserWarning", "ignore:parsing config_file:UserWarning")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_downloaded_from_an_address(packed: Path, tmp_path: Path) -> None:
    with serve(release_page(packed.with_suffix(".zip"), VERSION, RELEASE)) as address:
        url = f"{address}/owner/repository/releases/download/v1/{NAME}_v{VERSION}.zip"
        monai.bundle.download(NAME, bundle_dir=tmp_path, url=url, progress=False)
    assert contents(tmp_path / NAME) == contents(packed)


def test_loaded_from_a_release_on_github(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = monai.bundle.scripts._get_git_release_url
    monkeypatch.chdir(packed)  # where its code is found
    with serve(release_page(packed.with_suffix(".zip"), VERSION, RELEASE)) as address:

        def here(*arguments: str, **named: str) -> str:
            return real(*arguments, **named).replace("https://github.com", address)

        monkeypatch.setattr(monai.bundle.scripts, "_get_git_release_url", here)
        network = monai.bundle.load(
            NAME, version=VERSION, bundle_dir=tmp_path, source="github", repo=RELEASE, device="cpu", progress=False
        )
    assert contents(tmp_path / NAME) == contents(packed)
    expected = torch.load(packed / "models" / "model.pt", weights_only=True)
    state = network.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_downloaded_from_ngc_in_its_latest_version(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(ngc(packed, VERSION)) as address:
        monkeypatch.setattr(monai.bundle.scripts, "NGC_BASE_URL", address)
        monai.bundle.download(NAME, bundle_dir=tmp_path, source="ngc", progress=False)
    assert contents(tmp_path / NAME) == contents(packed)


LEFT = {  # by push_to_hf_hub, by the hub itself, and by a download from it
    "README.md": "---\ntags:\n- monai\n---\n# mine",
    ".gitattributes": "*.pt filter=lfs\n",
    ".cache/huggingface/.gitignore": "*",
    ".cache/huggingface/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n",
    f".cache/huggingface/trees/{40 * 'c'}.json": "{}",
    ".cache/huggingface/download/models/model.pt.metadata": "c0ffee\n",
    ".cache/huggingface/download/models/model.pt.lock": "",
}


def test_what_hugging_face_leaves_beside_a_package_is_passed_over(tampered: Tamper) -> None:
    folder = tampered(LEFT, sealed=False)
    assert check_package(folder).checkpoints == [folder / "models" / "model.pt"]


@pytest.mark.parametrize(
    "name", ["scripts/README.md", ".cache/huggingface/download/a.py", ".cache/a.metadata", "docs/.gitattributes"]
)
def test_nothing_else_is_passed_over(tampered: Tamper, name: str) -> None:
    with pytest.raises(ValueError, match=f"'?{name}'? is n"):
        check_package(tampered({name: "x"}, sealed=False))


@pytest.mark.slow
def test_pushed_to_hugging_face_downloaded_from_there_and_run(packed: Path, tampered: Tamper, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    home = tampered({}, sealed=False)
    write_phantoms(tmp_path, {"test": 1}, shape=(32, 28, 12))
    hub = HuggingFace("owner/mine")
    with serve(hub) as hub.address:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"}

        def command(folder: Path, *words: object) -> None:
            line = [sys.executable, *map(str, words)]
            result = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
            assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]

        push = f"monai.bundle.push_to_hf_hub('owner/mine', '{NAME}', '{home.parent}', token='hf_', version='{VERSION}')"
        command(tmp_path, "-c", f"import monai; {push}")
        assert hub.tags == [VERSION]
        place = ("--repo", "owner/mine", "--name", NAME, "--bundle_dir", tmp_path / "landed")
        command(tmp_path, "-m", "monai.bundle", "download", "--source", "huggingface_hub", *place)
    landed = tmp_path / "landed" / NAME
    left = {name for name in contents(landed) if name not in contents(packed)}
    assert {name.partition("/")[0] for name in left} == {"README.md", ".gitattributes", ".cache"}
    assert (landed / "README.md").read_text().startswith("---\ntags:\n- monai\n- medical\nlibrary_name: monai\n")
    check_package(home)
    check_package(landed)
    inference = ("--config_file", "configs/inference.json", "--input", tmp_path / "images", "--output_dir", tmp_path / "alone")
    command(landed, "-m", "monai.bundle", "run", "inference", *inference)
    command(ROOT, "-m", "scripts", "segment", tmp_path / "images", "--checkpoint", landed, "--output", tmp_path / "sam3d")
    masks = [contents(tmp_path / name) for name in ("alone", "sam3d")]
    [name] = [name for name in masks[0] if name.endswith(".nii.gz")]
    assert masks[0][name] == masks[1][name]
