"""What each overlay changes in a run, and with which numbers."""

import datetime
import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from conftest import NARROW_TINY_VIT
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.transforms import AdjustContrastd, Affined
from torch import nn

from scripts.data import DrawEmbeddingsd, EmbeddingCache, JoinPixelsd
from scripts.handlers import BeforeTraining, ModelEMA, TwoStage
from scripts.losses import JointDiceCELoss
from scripts.networks import EmbeddingsToLogits, MobileSAMSliceEncoder, NoEncoder, SAMSliceEncoder
from scripts.weights.encoder_files import BY_FILE

from .conftest import CONFIGS, SETTINGS, Start, names, owners, parts

CASE = {"image": "a", "label": "b"}
CASES: dict[str, Any] = {"cases": {"training": [CASE] * 3, "validation": [CASE]}}


def with_overlay(name: str, **settings: Any) -> Any:
    return parts("train.json", f"overlays/{name}.yaml", **{**CASES, **settings})


def test_joint_dice_replaces_the_loss_of_each_level() -> None:
    get = with_overlay("joint_dice", supervision_weights=[0.7, 0.3])
    assert isinstance(get("loss").loss, JointDiceCELoss)
    assert get("loss").weights == [0.7, 0.3]


def test_train_encoder_trains_all_at_a_lower_rate() -> None:
    get = with_overlay("train_encoder")
    (group,) = get("optimizer").param_groups
    assert {*group["params"]} == {*get("network_def").parameters()}
    assert group["lr"] == 3e-4


def test_last_blocks_trains_two_blocks_and_the_neck_at_a_lower_rate() -> None:
    get = with_overlay("last_blocks")
    network, (group,) = get("network_def"), get("optimizer").param_groups
    sam = network.encoder.image_encoder
    meant = [network.decoder, *sam.blocks[-2:], sam.neck]
    assert {*group["params"]} == {parameter for part in meant for parameter in part.parameters()}
    assert group["lr"] == 3e-4


def test_lora_trains_updates_of_rank_4_and_scale_1_in_every_block() -> None:
    get = with_overlay("lora")
    network, (group,) = get("network_def"), get("optimizer").param_groups
    updates = network.encoder.lora
    assert {*group["params"]} == {*network.decoder.parameters(), *updates.parameters()}
    assert [(update.up.shape[-1], update.scale) for update in updates] == [(4, 1)] * len(network.encoder.image_encoder.blocks)
    assert with_overlay("lora", lora_rank=2, lora_alpha=3)("network_def").encoder.lora[0].scale == 1.5


def test_depth_adapter_trains_adapters_of_32_channels_in_every_block() -> None:
    get = with_overlay("depth_adapter")
    network, (group,) = get("network_def"), get("optimizer").param_groups
    adapters = network.encoder.depth_adapters
    assert {*group["params"]} == {*network.decoder.parameters(), *adapters.parameters()}
    assert [adapter.down.out_features for adapter in adapters] == [32] * len(network.encoder.image_encoder.blocks)


@pytest.mark.parametrize("name", ["lora", "last_blocks", "depth_adapter"])
def test_parts_of_the_encoder_may_wait_for_the_second_stage(name: str, tmp_path: Path) -> None:
    get = parts("train.json", "overlays/two_stage.yaml", f"overlays/{name}.yaml", output_dir=tmp_path, max_epochs=3, **CASES)
    encoder, stages = get("network_def").encoder, get("train#handlers")[-1]
    assert {*stages.parameters} == {p for part, p in encoder.named_parameters() if part in encoder.trained}
    assert 0 < len(stages.parameters) < len([*encoder.parameters()])
    with pytest.raises(RuntimeError) as refusal:
        parts("train.json", f"overlays/{name}.yaml", "overlays/two_stage.yaml", **CASES)("network_def")
    assert "give --overlay two_stage before them" in str(refusal.value.__cause__)


def test_layers_keep_their_share_of_the_rate_along_both_schedules(tmp_path: Path) -> None:
    options = {"output_dir": tmp_path, "max_epochs": 3, "epoch_length": 4, "layer_decay": 0.5, "warmup_fraction": 0.25}
    for overlay, steps in (("train_encoder", 11), ("two_stage", 12)):
        get = with_overlay(overlay, **options)
        optimizer, schedule = get("optimizer"), get("lr_scheduler")
        shares = [group["initial_lr"] / get("learning_rate") for group in optimizer.param_groups]
        assert sorted(shares) == [0.5**above for above in (4, 3, 2, 1, 0)]
        for _ in range(steps):
            rates = [group["lr"] for group in optimizer.param_groups]
            assert rates == pytest.approx([share * max(rates) for share in shares])
            optimizer.step()
            schedule.step()


def test_two_stages_freeze_the_encoder_for_a_third_and_then_train_it_at_its_own_rate(tmp_path: Path) -> None:
    epochs, steps = 9, 4
    options = {"max_epochs": epochs, "epoch_length": steps, "learning_rate": 0.004, "warmup_fraction": 0.25}
    get = with_overlay("two_stage", output_dir=tmp_path, **options)
    encoder, optimizer, schedule = get("network_def").encoder, get("optimizer"), get("lr_scheduler")
    assert {*optimizer.param_groups[0]["params"]} == {*get("network_def").parameters()}
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.004 * f for f in rise_and_fall(3 * steps)] + [1e-5 * f for f in rise_and_fall(6 * steps)])
    assert get("train#handlers")[2].lr_scheduler is schedule
    stages = get("train#handlers")[-1]
    assert isinstance(stages, TwoStage)
    assert (stages.part, stages.first_stage_epochs) == ("encoder", 3)
    assert {*stages.parameters} == {*encoder.parameters()}
    assert len(get("train#handlers")) == 6  # beside those of train.json
    assert get("early_stopping").patience == epochs
    assert stages in owners(get("train#trainer"), Events.EPOCH_STARTED)


def test_ema_validates_and_saves_the_average_of_what_is_trained(tmp_path: Path) -> None:
    for overlays in ((), ("overlays/cached.yaml",)):
        get = parts("train.json", *overlays, "overlays/ema.yaml", output_dir=tmp_path, dataset_dir=tmp_path, **CASES)
        ema, checkpointing = get("ema"), get("checkpointing")
        assert type(ema) is ModelEMA
        assert {*ema.weights} == {*get("network_def").decoder.parameters()}
        assert (ema.decay, ema.evaluator) == (0.99, get("validate#evaluator"))
        assert get("train#handlers")[-1] is ema
        assert ema in owners(get("train#trainer"), Events.ITERATION_COMPLETED)
        assert (checkpointing.objects["ema"], checkpointing.averaged) == (ema, ema.averaged)
        assert checkpointing.objects.keys() == {"network", "optimizer", "lr_scheduler", "early_stopping", "ema"}


def rise_and_fall(steps: int) -> list[float]:
    """Of a quarter of the steps, and of the others."""
    rising = steps // 4
    falling = steps - rising
    return [step / rising for step in range(rising)] + [(1 + math.cos(math.pi * n / falling)) / 2 for n in range(falling)]


def test_cached_trains_the_decoder_on_embeddings_of_three_views_drawn_from_a_cache(tmp_path: Path) -> None:
    get = with_overlay("cached", output_dir=tmp_path, cache_limit=5, crop_pos=5, crop_neg=3, crop_classes=[1, 2, 3, 4])
    cache, network = get("embedding_cache"), get("network_def")
    (draw,) = get("train#preprocessing").transforms
    assert (type(cache), type(draw)) == (EmbeddingCache, DrawEmbeddingsd)
    assert [*cache.cases.values()] == [CASE]
    assert (cache.encoder, cache.device, cache.num_workers) == (network.encoder, torch.device("cpu"), 1)
    assert (cache.store.folder, cache.store.limit) == (tmp_path / "embeddings", 5)
    assert (draw.store, draw.keys, draw.roi_depth, draw.pos_fraction) == (cache.store, cache.keys, 8, 5 / 8)
    assert draw.crop_classes == [1, 2, 3, 4]
    trained, handlers = get("trained_module"), get("train#handlers")
    assert isinstance(trained, EmbeddingsToLogits)
    assert get("train#trainer").network is trained
    assert (trained.network, list(trained.plane)) == (network, SETTINGS["spatial_size"])
    assert get("validate#evaluator").network is network
    assert (type(handlers[-1]), handlers[-1].work, len(handlers)) == (BeforeTraining, cache.fill, 6)
    assert cache in owners(get("train#trainer"), Events.STARTED)  # by its `fill`
    steps = [*get("deterministic_transforms"), get("ignored_to_zero"), get("pad_depth")]
    assert [pipeline.transforms[: len(steps)] for pipeline in map(list_of, cache.pipelines)] == [steps] * 3


def test_medsam_sees_pixels_between_0_and_1_and_has_a_file_of_its_own() -> None:
    files = ("train.json", "overlays/medsam.yaml")
    encoder = parts(*files, **CASES)("network_def").encoder
    assert (encoder.pixel_mean, encoder.pixel_std) == ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / file) for file in files])
    parser["bundle_root"] = "here"
    assert parser.get_parsed_content("encoder_weights") == "here/models/medsam_vit_b.pth"


@pytest.mark.parametrize(
    ("overlay", "kind", "file"),
    [
        ("mobile_sam", MobileSAMSliceEncoder, "mobile_sam.pt"),
        ("sam_med2d", SAMSliceEncoder, "sam-med2d_b.pth"),
    ],
)
def test_an_encoder_of_an_overlay_has_its_class_and_a_file_of_its_own(overlay: str, kind: type, file: str) -> None:
    files = ("train.json", f"overlays/{overlay}.yaml")
    settings = {**CASES, "encoder_variant": NARROW_TINY_VIT} if overlay == "mobile_sam" else CASES
    for trainable in (False, True):
        network = parts(*files, **settings, encoder_trainable=trainable)("network_def")
        assert type(network.encoder) is kind
        assert bool(network.encoder.trained) is trainable
        assert network.decoder.stages[0].conv1.in_channels == network.encoder.out_channels == 256
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / file) for file in files])
    parser["bundle_root"] = "here"
    assert parser.get_parsed_content("encoder_weights") == f"here/models/{file}"
    assert file in BY_FILE
    assert parser["encoder_variant"] == ("vit_t" if overlay == "mobile_sam" else "vit_b")


def test_sam_med2d_has_adapters_and_tables_of_256_pixels() -> None:
    encoder = parts("train.json", "overlays/sam_med2d.yaml", **CASES)("network_def").encoder
    assert encoder.adapters
    assert encoder.image_encoder.pos_embed.shape[1:3] == (16, 16)
    get = parts("train.json", "overlays/sam_med2d.yaml", **CASES, **{"network_def#encoder#encoder#adapters": False})
    assert not any("Adapter" in name for name, _ in get("network_def").encoder.named_modules())


def test_cached_pixels_are_augmented_and_joined(tmp_path: Path) -> None:
    get = parts("train.json", "networks/detail.yaml", "overlays/cached.yaml", output_dir=tmp_path, **CASES)
    draw, *augmentation, join = get("train#preprocessing").transforms
    assert (type(draw), type(join)) == (DrawEmbeddingsd, JoinPixelsd)
    assert augmentation == [get("ignored_to_zero"), *get("augmentation"), get("zero_to_ignored")]
    assert draw.with_pixels and get("embedding_cache").with_pixels
    assert get("cached_views") == [[]]  # else a crop would be turned twice


@pytest.mark.parametrize("overlays", [(), ("overlays/no_encoder.yaml",)])
def test_detail_stands_beside_the_decoder_s_stages(overlays: tuple[str, ...]) -> None:
    network = parts("train.json", "networks/detail.yaml", *overlays, modalities=2, **CASES)("network_def")
    channels = [level.refine.out_channels for level in network.detail.levels]
    assert (channels, network.detail.levels[0].shrink.in_channels) == ([16, 32, 64, 128], 2)
    stages, entrance = network.decoder.stages, list(network.decoder.entrance)
    below = [0 if overlays else 32, *(stage.conv2.out_channels for stage in stages)]
    expected = [level + low for level, low in zip(channels[::-1], below, strict=False)]
    assert [stage.conv1.in_channels for stage in stages] == expected
    assert all(stage.shortcut.kernel_size == (1, 1, 1) for stage in stages)
    if not overlays:
        assert (entrance.pop(0).p, entrance.pop().in_channels) == (0.5, 2 * 256)
    assert entrance == []
    assert isinstance(network.encoder, NoEncoder if overlays else SAMSliceEncoder)


def list_of(pipeline: Any) -> Any:
    pipeline.transforms = list(pipeline.transforms)
    return pipeline


def test_the_cached_views_are_turned_scaled_and_of_other_contrast_and_one_is_as_it_is(tmp_path: Path) -> None:
    first, *others = with_overlay("cached", output_dir=tmp_path)("cached_views")
    assert first == []
    known = [((0, 0, 0.15), (0.95, 0.95, 1), 0.8), ((0, 0, -0.15), (1.05, 1.05, 1), 1.25)]
    for view, (turned, scaled, gamma) in zip(others, known, strict=True):
        move, contrast = view
        assert (type(move), type(contrast)) == (Affined, AdjustContrastd)
        grid = move.affine.affine_grid
        assert (tuple(grid.rotate_params), tuple(grid.scale_params)) == (turned, scaled)
        assert (move.keys, move.mode, move.padding_mode) == (("image", "label"), ("bilinear", "nearest"), ("zeros", "zeros"))
        assert (contrast.keys, contrast.adjuster.gamma) == (("image",), gamma)


def test_caching_only_fills_the_cache(start: Start, dataset: Path, tmp_path: Path) -> None:
    run = start(
        "caching",
        "train.json",
        "overlays/cached.yaml",
        dataset_dir=dataset,
        output_dir=tmp_path,
        skip_bad=True,
        val_fraction=0.5,
    )
    run.run()
    assert len(list((tmp_path / "embeddings").glob("*.safetensors"))) == 3 * 3  # cases and views
    assert not (tmp_path / "last.pt").exists()


def test_multi_gpu_wraps_what_is_trained_and_waits_for_a_day(
    start: Start, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    class Wrapped(nn.Module):  # the real one needs the processes, see runs/test_multi_gpu.py
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", Wrapped)
    monkeypatch.setattr(idist, "initialize", lambda backend, timeout: calls.append((backend, timeout)))
    monkeypatch.setattr(idist, "finalize", lambda: calls.append("finalize"))
    monkeypatch.setattr("time.sleep", calls.append)
    run = start("training", "train.json", "overlays/multi_gpu.yaml", dataset_dir=phantoms, output_dir=tmp_path)
    assert calls == [("nccl" if torch.cuda.is_available() else "gloo", datetime.timedelta(days=1))]
    get = run.parser.get_parsed_content
    assert isinstance(get("train#trainer").network, Wrapped)
    assert get("train#trainer").network.module is get("trained_module") is get("network_def")
    run.finalize()
    assert calls[1:] == [1, "finalize"]


def test_dicom_seg_writes_a_second_file_after_the_mask(tmp_path: Path) -> None:
    get = parts("inference.json", "overlays/dicom_seg.yaml", output_dir=tmp_path, checkpoint="model.pt")
    steps = get("postprocessing#transforms")
    assert names(steps)[-2:] == ["SaveMaskd", "SaveDicomSegd"]
    assert (steps[-1].output_dir, steps[-1].names) == (tmp_path, {1: "liver", 2: "kidney", 3: "vessel"})
