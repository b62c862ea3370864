"""An exported network gives what the network gives, at any depth, or there is no file."""

import json
import shutil
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from scripts.exporting.formats import FORMATS
from scripts.networks import AnySize, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random

from .conftest import LABELS, NETWORKS, Export

DEPTHS = (1, 2, 5, 9, 23)  # others than those at which the export checks itself, too
PLANE = (32, 48)
SUFFIXES = {name: format.suffix for name, format in FORMATS.items()}


def assert_same(path: Path, kind: str, network: nn.Module) -> None:
    run, about = FORMATS[kind].read(path), FORMATS[kind].about(path)
    for depth in DEPTHS:
        volume = torch.rand(1, 1, *PLANE, depth)
        expected = network.eval()(volume)
        error = (run(volume) - expected).abs().max() / expected.abs().max()
        assert error < 1e-4, depth
    assert about["labels"] == LABELS and about["plane"] == [*PLANE] and about["format"] == kind
    assert about["measured"]["logit_error"] < 1e-4 and about["measured"]["volumes"] == 1
    assert about == json.loads(READERS[kind](path))


def read_extra_file(load: Callable, argument: str) -> Callable[[Path], str]:
    def read(path: Path) -> str:
        load(path, **{argument: (files := {"sam3d": ""})})
        return files["sam3d"]

    return read


def read_archive(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        return file.read(next(name for name in file.namelist() if name.endswith("/extra/sam3d"))).decode()


def read_onnx(path: Path) -> str:
    import onnxruntime

    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["sam3d"]


READERS = {  # as docs/export.md tells them
    "onnx": read_onnx,
    "pt2": read_extra_file(torch.export.load, "extra_files"),
    "aoti": read_archive,
    "torchscript": read_extra_file(torch.jit.load, "_extra_files"),
}


@pytest.mark.parametrize("name", ["detail", "ensemble"])
def test_torchscript_is_the_network_at_any_depth(name: str, narrow_encoder: SAMSliceEncoder, export: Export) -> None:
    network = NETWORKS[name](narrow_encoder)
    assert_same(export(network), "torchscript", network)


@pytest.fixture(scope="module")
def vit_b() -> SAMSliceEncoder:
    """SAM's, with random weights."""
    encoder = SAMSliceEncoder("vit_b")
    fill_at_random(encoder, seed=0)
    return encoder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torchscript", "pt2", "onnx", "aoti"])
@pytest.mark.parametrize(
    ("encoder", "name"), [*product(["narrow_encoder"], NETWORKS), *product(["vit_b"], ["plain", "detail", "ensemble"])]
)
def test_every_format_is_every_network_at_any_depth(
    encoder: str, name: str, kind: str, request: pytest.FixtureRequest, export: Export
) -> None:
    if kind == "aoti" and shutil.which("g++") is None:
        pytest.skip("AOTInductor needs a C++ compiler")
    network = NETWORKS[name](request.getfixturevalue(encoder))
    path = export(network, f"model{SUFFIXES[kind]}", format=kind)
    assert_same(path, kind, network)
    path.unlink()  # hundreds of megabytes


@pytest.mark.parametrize("name", ["detail", "ensemble"])
def test_encoder_and_decoder_apart_make_the_network(name: str, narrow_encoder: SAMSliceEncoder, export: Export) -> None:
    network = NETWORKS[name](narrow_encoder).eval()
    encode, decode = (FORMATS["torchscript"].read(export(network, f"{part}.ts", part=part)) for part in ("encoder", "decoder"))
    volume = torch.rand(1, 1, *PLANE, 7)
    torch.testing.assert_close(decode(encode(volume)), network(volume), rtol=0, atol=1e-4)


def test_a_part_does_not_hold_the_weights_of_the_other(narrow_encoder: SAMSliceEncoder, export: Export) -> None:
    decoder = torch.jit.load(export(NETWORKS["plain"](narrow_encoder), part="decoder"))
    assert not [name for name, _ in decoder.named_parameters() if "encoder" in name]
    assert [name for name, _ in decoder.named_parameters() if "stages" in name]


def test_onnx_names_its_free_axis_and_runs_at_lower_precision(narrow_encoder: SAMSliceEncoder, export: Export) -> None:
    import onnx
    import onnxruntime

    path = export(nn.Conv3d(1, 4, 3, padding=1), "model.onnx", format="onnx", precision="float16")
    session = onnxruntime.InferenceSession(path)
    assert (session.get_inputs()[0].name, session.get_inputs()[0].shape) == ("volume", [1, 1, *PLANE, "depth"])
    about = FORMATS["onnx"].about(path)
    assert about["opset"] == 20 and about["measured"]["dice"] > 0.9 and about == json.loads(read_onnx(path))
    onnx.checker.check_model(path, full_check=True)
    assert path.stat().st_size < 20_000


def test_triton_finds_its_model(export: Export) -> None:
    path = export(nn.Conv3d(1, 4, 3, padding=1), "organs", format="onnx", triton=True)
    folder = path.parents[1]
    assert path.relative_to(folder) == Path("1/model.onnx")
    assert (folder / "config.pbtxt").read_text().splitlines() == [
        'name: "organs"',
        'backend: "onnxruntime"',
        "max_batch_size: 0",
        'input [ { name: "volume", data_type: TYPE_FP32, dims: [ 1, 1, 32, 48, -1 ] } ]',
        'output [ { name: "logits", data_type: TYPE_FP32, dims: [ 1, 4, 32, 48, -1 ] } ]',
    ]


class FixedDepth(nn.Module):
    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return volume * int(volume.shape[4])


@pytest.mark.parametrize(
    ("kind", "network", "words"),
    [
        ("pt2", FixedDepth(), "FixedDepth cannot be exported with a free depth"),
        ("torchscript", FixedDepth(), "must give the network's logits within 0.0001 of the largest"),
        ("torchscript", AnySize(UNet(3, 1, 2, channels=(2, 4), strides=(2,)), [2, 2, 2]), "must take any depth, and fails"),
    ],
)
def test_a_network_that_fixes_its_depth_is_refused_in_words(
    kind: str, network: nn.Module, words: str, tmp_path: Path, export: Export
) -> None:
    with pytest.raises(ValueError, match=words):
        export(network, f"model{SUFFIXES[kind]}", format=kind)
    assert [*tmp_path.iterdir()] == []


def test_a_file_with_other_masks_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, narrow_encoder: SAMSliceEncoder, tmp_path: Path, export: Export
) -> None:
    """Whose logits are right at the depths that are tried, but not in the windows of the inferer."""
    format = FORMATS["torchscript"]

    def read(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
        run, calls = format.read(path), iter(range(1000))
        return lambda volume: run(volume) if next(calls) < 5 else -run(volume)

    monkeypatch.setitem(FORMATS, "torchscript", format._replace(read=read))
    with pytest.raises(ValueError, match="must give the network's masks, and that of a phantom differs in"):
        export(NETWORKS["plain"](narrow_encoder))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("model.pt", {}, "a file of --format torchscript must end in .ts"),
        ("model.ts", {"format": "tflite"}, "format must be pt2, onnx, aoti, torchscript, got 'tflite'"),
        ("model.ts", {"part": "neck"}, "part must be network, encoder or decoder, got 'neck'"),
        ("model.ts", {"part": "encoder"}, "Conv3d has no encoder apart from the rest"),
        ("model.ts", {"precision": "int8"}, "take --format onnx"),
        ("model.ts", {"precision": "int4"}, "precision must be float32, float16, int8, got 'int4'"),
        ("model.ts", {"triton": True}, "take --format onnx"),
        ("model.ts", {"plane": [0, 8]}, "plane must be two positive numbers"),
    ],
)
def test_what_cannot_be_is_refused(name: str, options: dict[str, object], words: str, export: Export) -> None:
    with pytest.raises(ValueError, match=words):
        export(nn.Conv3d(1, 4, 1), name, **options)


def test_a_network_without_an_encoder_has_none_to_export(narrow_encoder: SAMSliceEncoder, export: Export) -> None:
    with pytest.raises(ValueError, match="this network has no encoder"):
        export(NETWORKS["no_encoder"](narrow_encoder), part="encoder")


def test_a_file_that_is_there_stays(tmp_path: Path, export: Export) -> None:
    (tmp_path / "model.ts").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="is there already; give another --output"):
        export(nn.Conv3d(1, 4, 1))
    assert (tmp_path / "model.ts").read_bytes() == b"mine"


def test_another_plane_than_that_of_the_training_is_doubted(export: Export, caplog: pytest.LogCaptureFixture) -> None:
    path = export(nn.Conv3d(1, 4, 1), plane=[16, 64])
    run, about = FORMATS["torchscript"].read(path), FORMATS["torchscript"].about(path)
    assert "trained on slices of 32 x 48 pixels and is exported for 16 x 64" in caplog.text
    assert (about["plane"], about["spatial_size"]) == ([16, 64], [32, 48])
    assert run(torch.rand(1, 1, 16, 64, 3)).shape == (1, 4, 16, 64, 3)


def test_masks_are_compared_on_images_too(export: Export, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path = export(nn.Conv3d(2, 4, 1), modalities=2, cases=[{"image": torch.rand(2, *PLANE, 11)}])
    assert "mask of a phantom: identical" in caplog.text
    assert "mask of image 1: identical" in caplog.text
    measured = FORMATS["torchscript"].about(path)["measured"]
    assert measured.pop("logit_error") < 1e-4
    voxels = PLANE[0] * PLANE[1] * (9 + 11)  # a phantom of a window and a half, and the image
    assert measured == {"depths": [1, 2, 6, 7, 13], "volumes": 2, "voxels": voxels, "different": 0, "dice": 1.0}
