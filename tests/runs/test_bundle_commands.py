"""MONAI's bundle commands and `monai.bundle.load`, from the bundle's folder and from another."""

import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch
from conftest import NARROW, ROOT
from monai.bundle import ConfigParser, verify_metadata
from monai.data import load_net_with_metadata

from scripts.networks import SAM3D

from .conftest import NARROW_CONFIG, run_forked


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ROOT if request.param == "bundle folder" else tmp_path_factory.mktemp("elsewhere")


def in_folders(*also: Any) -> pytest.MarkDecorator:
    """also: marks of another folder, where Python starts anew."""
    return pytest.mark.parametrize("folder", ["bundle folder", pytest.param("another folder", marks=also)], indirect=True)


def bundle_command(environment: dict[str, str], folder: Path, output: Path, *words: object) -> str:
    """From another folder in a Python that knows nothing of this bundle yet."""
    if folder == ROOT:
        result = run_forked([str(word) for word in words], output)
    else:
        command = [sys.executable, "-m", "monai.bundle", *map(str, words)]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def narrow_network_def() -> SAM3D:
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / "inference.json"), str(NARROW_CONFIG)])
    return parser.get_parsed_content("network_def").eval()


@in_folders()
def test_verify_net_in_out(environment: dict[str, str], folder: Path, tmp_path: Path) -> None:
    output = bundle_command(
        environment,
        folder,
        tmp_path,
        "verify_net_in_out",
        "network_def",
        *("--meta_file", ROOT / "configs" / "metadata.json"),
        *("--config_file", ROOT / "configs" / "inference.json"),
        *("--bundle_root", ROOT),
        *("--encoder_variant", NARROW),
        *("--encoder_weights", "random"),
    )
    assert "verified with no error" in output


@in_folders(pytest.mark.slow)
def test_the_exported_torchscript_equals_the_network(
    environment: dict[str, str], folder: Path, trained: Path, tmp_path: Path
) -> None:
    bundle_command(
        environment,
        folder,
        tmp_path,
        "ckpt_export",
        "network_def",
        *("--filepath", tmp_path / "model.ts"),
        *("--ckpt_file", trained / "model.pt"),
        *("--meta_file", ROOT / "configs" / "metadata.json"),
        *("--config_file", [str(ROOT / "configs" / "inference.json"), str(NARROW_CONFIG)]),
        *("--bundle_root", ROOT),
        *("--use_trace", "true"),
        *("--input_shape", "[1, 1, 32, 48, 6]"),
    )
    exported, metadata, _ = load_net_with_metadata(str(tmp_path / "model.ts"))
    network = narrow_network_def()
    network.load_state_dict(torch.load(trained / "model.pt", weights_only=True))
    for depth in (6, 7):
        volume = torch.rand(1, 1, 32, 48, depth)
        torch.testing.assert_close(exported(volume), network(volume), rtol=0, atol=1e-4)
    assert metadata["version"] == ConfigParser.load_config_file(str(ROOT / "configs" / "metadata.json"))["version"]
    with pytest.raises(Exception, match="holds for volumes of 32 x 48 x any number of slices"):
        exported(torch.rand(1, 1, 32, 32, 6))


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # MONAI's, of every config file
def test_monai_bundle_load_gives_the_trained_network(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder that holds a downloaded copy of the bundle, which is not the current folder."""
    copy = tmp_path / "sam3d"
    shutil.copytree(ROOT / "configs", copy / "configs")
    (copy / "models").mkdir()
    shutil.copy(trained / "model.pt", copy / "models")
    monkeypatch.chdir(tmp_path)
    expected = torch.load(trained / "model.pt", weights_only=True)
    network = monai.bundle.load(
        "sam3d",
        bundle_dir=str(tmp_path),
        device="cpu",
        net_override={
            "encoder#weights": "random",
            "encoder#encoder#variant": NARROW,
            "decoder#channels": [16, 8, 8, 4],
            "decoder#out_channels": 4,
        },
    )
    state = network.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_the_metadata_fits_monais_schema(tmp_path: Path) -> None:
    try:
        verify_metadata(meta_file=str(ROOT / "configs" / "metadata.json"), filepath=str(tmp_path / "schema.json"))
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        pytest.skip(f"the schema cannot be fetched here: {error}")
