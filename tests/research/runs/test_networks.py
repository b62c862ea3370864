"""Every network that has a file does all that the bundle does: training, resume, evaluation, inference, export."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from runs.conftest import NARROW_CONFIG, Command, assert_lies_on_its_image, run_forked
from runs.test_training import assert_identical, stop_after

from scripts.run.config_files import network_configs, read_config

# The names of overlays, joined by + -> what makes the network narrow enough for the default suite.
ATTENTION = {"network_def#decoder#width": 16, "network_def#decoder#layers": 3, "network_def#decoder#channels": [8, 8, 4, 4]}
DETAIL = {"network_def#decoder#channels": [16, 8, 8, 4], "detail_channels": [4, 8, 8, 16]}
HOST = "network_def#network#host"
DOUBLE_UNET = {f"{HOST}#channels": [16, 16, 16, 16, 16]}
UNET = {f"{HOST}#unet#channels": [4, 8, 8, 8, 16]}
NARROW: dict[str, dict[str, object]] = {
    "attention": ATTENTION,
    "attention_axial": ATTENTION,
    "attention_macs": ATTENTION,
    "attention_unet": {"network_def#network#channels": [4, 4, 4, 8, 8]},
    "attention_windowed": ATTENTION,
    "cotr": {
        "network_def#network#channels": [4, 6, 12, 12],
        "network_def#network#blocks": [1, 1, 1],
        "network_def#network#num_layers": 1,
        "network_def#network#num_heads": 2,
        "network_def#network#num_points": 2,
        "network_def#network#mlp_dim": 24,
    },
    "dca_sam3d": {
        "network_def#encoder#encoder#blocks": [0, 1],
        "network_def#decoder#reduced_channels": 4,
        "network_def#decoder#decoder#channels": [8, 8, 4, 4],
    },
    "detail": DETAIL,
    "detail+no_encoder": DETAIL,
    "double_unet": DOUBLE_UNET,
    "double_unet+dca": DOUBLE_UNET,
    "medt": {
        "network_def#network#img_size": 32,
        "network_def#network#channels": [4, 4, 8, 8],
        "network_def#network#blocks": [1, 1, 1, 1],
        "network_def#network#num_heads": 2,
        "network_def#network#stem_channels": 8,
    },
    "multires_unet": {f"{HOST}#channels": [4, 8, 8, 8, 8]},
    "original": {"network_def#decoder#channels": [16, 8, 8, 4]},
    "r2_unet": {f"{HOST}#channels": [4, 8, 8, 8, 8]},
    "resunet_plus_plus": {f"{HOST}#channels": [8, 8, 8, 8, 8]},
    "segresnet": {"network_def#network#init_filters": 8},
    # In 2-D here, and V-Net too, whose widths MONAI fixes; as the overlays have them, in 3-D, among the full ones.
    "swin_unetr": {
        "network_def#network#feature_size": 12,
        "network_def#network#depths": [1, 1, 1, 1],
        "network_def#network#spatial_dims": 2,
        "network_def#multiple": [32, 32],
        "network_def#minimum": [64, 32],
    },
    "transunet": {
        "network_def#network#network#width": 32,
        "network_def#network#network#units": [1, 1, 1],
        "network_def#network#network#hidden_size": 16,
        "network_def#network#network#num_layers": 2,
        "network_def#network#network#num_heads": 2,
        "network_def#network#network#mlp_dim": 32,
        "network_def#network#network#position_grid": 2,
        "network_def#network#network#decoder_channels": [16, 16, 8, 8, 8],
    },
    "unet": UNET,
    "unet+dca": UNET,
    "unet+skip_control": UNET,
    "unet_plus_plus": {"network_def#network#features": [4, 4, 4, 4, 8, 4], "roi_depth": 16},
    "unetr": {"network_def#network#hidden_size": 24, "network_def#network#mlp_dim": 24, "roi_depth": 16},
    "vnet": {f"{HOST}#vnet#spatial_dims": 2, "network_def#multiple": [16, 16], "network_def#minimum": [32, 32]},
}
ALIKE = {  # narrow, they show what others do that are built alike: in `make test-all`
    *("attention_axial", "attention_macs", "attention_windowed", "original"),  # as attention: a decoder of their own
    *("double_unet", "double_unet+dca", "multires_unet", "r2_unet", "resunet_plus_plus"),  # as unet: a host of skips
    *("unet+dca", "unet+skip_control", "vnet"),
    *("attention_unet", "swin_unetr", "unet_plus_plus", "unetr"),  # as segresnet: MONAI's
}
FULL: dict[str, object] = {"spatial_size": [64, 64], "roi_depth": 16}


def full(name: str) -> dict[str, object]:
    """A network without an encoder refuses an option of one."""
    files = network_configs(name)
    on_its_own = any({"network_def", "network_def#encoder"} & read_config(file).keys() for file in files)
    return FULL if on_its_own else {**FULL, "encoder_variant": "vit_b"}


def test_every_network_is_tested() -> None:
    names = {path.stem for path in (ROOT / "configs").rglob("networks/*.yaml")}
    assert names == {name for name in NARROW if "+" not in name}


@pytest.fixture(scope="module")
def thin_and_long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes of a single slice and of 200, whose planes are no multiple of anything."""
    folder = tmp_path_factory.mktemp("scans")
    for shape in [(37, 23, 1), (18, 25, 200)]:
        voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.2, 3.0, 1.0])), folder / f"{shape[2]}.nii.gz")
    return folder


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(
            pytest.param(name, options, id=name, marks=pytest.mark.slow if name in ALIKE else ())
            for name, options in NARROW.items()
        ),
        *(pytest.param(name, full(name), id=f"{name}-full", marks=pytest.mark.slow) for name in NARROW),
    ],
)
def test_a_network_trains_resumes_evaluates_segments_and_is_exported(
    bundle_run: Command, phantoms: Path, thin_and_long: Path, tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    overlays = network_configs(name)
    stop = stop_after(1, tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    bundle_run("training", ["train.json"], last=overlays, dataset_dir=phantoms, output_dir=whole, **options)
    bundle_run("training", ["train.json", stop], last=overlays, dataset_dir=phantoms, output_dir=parts, **options)
    bundle_run("training", ["train.json"], last=overlays, dataset_dir=phantoms, output_dir=parts, resume=True, **options)
    assert_identical(whole, parts)

    options = {**options, "checkpoint": whole / "model.pt"}
    evaluation, masks = tmp_path / "evaluation", tmp_path / "masks"
    configs = ["train.json", "evaluate.json"]
    bundle_run("evaluating", configs, last=overlays, dataset_dir=phantoms, output_dir=evaluation, **options)
    assert len(list((evaluation / "masks").glob("*.nii.gz"))) == 2
    bundle_run("inference", ["inference.json"], last=overlays, input=thin_and_long, output_dir=masks, **options)
    report = json.loads((masks / "report.json").read_text())
    assert len(report) == 2
    for entry in report:
        assert_lies_on_its_image(entry)

    exported, network = export(overlays, options, tmp_path)
    volume = torch.rand(1, 1, 32, 32, 5)
    torch.testing.assert_close(exported(volume), network(volume), rtol=0, atol=1e-4)
    says_so = any("find_unused_parameters" in overlay.read_text() for overlay in overlays)
    assert leaves_parameters_unused(network) == says_so  # with which several processes would not train


def leaves_parameters_unused(network: torch.nn.Module) -> bool:
    network.train()
    logits = network(torch.rand(2, 1, 32, 32, 8))
    sum(level.sum() for level in (logits if isinstance(logits, list) else [logits])).backward()
    return any(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def export(overlays: list[Path], options: dict[str, object], folder: Path) -> tuple[torch.jit.ScriptModule, torch.nn.Module]:
    """The network as `ckpt_export` writes it, and as it is."""
    configs = [str(ROOT / "configs" / "inference.json"), str(NARROW_CONFIG), *map(str, overlays)]
    words = ["ckpt_export", "network_def", "--filepath", folder / "model.ts", "--ckpt_file", options["checkpoint"]]
    words += ["--meta_file", ROOT / "configs" / "metadata.json", "--config_file", configs, "--bundle_root", ROOT]
    words += ["--use_trace", "true", "--input_shape", "[1, 1, 32, 32, 5]"]
    words += [word for key, value in options.items() for word in (f"--{key}", value)]
    result = run_forked([str(word) for word in words], folder)
    assert result.returncode == 0, result.stderr[-3000:]
    parser = ConfigParser()
    parser.read_config(configs)
    parser.update({**options, "bundle_root": str(ROOT)})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(options["checkpoint"], weights_only=True))
    return torch.jit.load(folder / "model.ts"), network


def test_attention_rollout_is_drawn_for_every_case(
    bundle_run: Command, phantoms: Path, thin_and_long: Path, tmp_path: Path
) -> None:
    overlays, options = network_configs("transunet"), NARROW["transunet"]
    bundle_run(
        "training", ["train.json"], last=overlays, dataset_dir=phantoms, output_dir=tmp_path / "run", max_epochs=1, **options
    )
    options = {**options, "checkpoint": tmp_path / "run" / "model.pt", "input": thin_and_long}
    overlays.append(ROOT / "configs" / "research" / "overlays" / "rollout.yaml")
    bundle_run("inference", ["inference.json"], last=overlays, output_dir=tmp_path / "masks", **options)
    assert {path.name for path in (tmp_path / "masks").glob("*.png")} == {"1_seg_rollout.png", "200_seg_rollout.png"}
