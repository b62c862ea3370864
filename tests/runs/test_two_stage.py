"""`run training` in two stages: resumed across the switch, by two processes, and used like any other network."""

from pathlib import Path

import pytest
import torch
from conftest import NARROW, ROOT

from scripts.networks import SAMSliceEncoder
from scripts.weights import load_sam_encoder

from .conftest import Command
from .test_multi_gpu import NO_AUGMENTATION, curve
from .test_training import assert_identical, stop_after, weights

TWO_STAGE = ["train.json", "overlays/two_stage.yaml"]


def encoder(folder: Path) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in weights(folder).items() if key.startswith("encoder.")}


def test_a_training_interrupted_in_the_first_stage_goes_on_across_the_switch(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    """With averaged weights too, and its checkpoint, saved whole, is used without the overlays."""
    stop = stop_after(2, tmp_path)
    configs = [*TWO_STAGE, "overlays/ema.yaml"]
    options = {"dataset_dir": phantoms, "max_epochs": 4, "first_stage_epochs": 3, "second_stage_rate": 1e-3}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    bundle_run("training", configs, output_dir=whole, **options)
    bundle_run("training", [*configs, stop], output_dir=parts, **options)
    frozen = encoder(parts)
    bundle_run("training", configs, output_dir=parts, resume=True, **options)
    assert_identical(whole, parts)
    averages = [torch.load(folder / "last.pt", weights_only=True)["ema"] for folder in (whole, parts)]
    assert averages[0]["n_averaged"] == 4 * 2  # epochs and steps
    assert all(torch.equal(average, averages[1][name]) for name, average in averages[0].items())
    trained = encoder(parts)
    assert trained.keys() == frozen.keys()
    assert not any(torch.equal(trained[key], frozen[key]) for key in frozen)
    checkpoint = parts / "model.pt"
    images = phantoms / "dataset.json"
    bundle_run("inference", ["inference.json"], input=images, checkpoint=checkpoint, output_dir=tmp_path / "masks")


def test_in_the_first_stage_the_network_is_trained_as_with_the_frozen_encoder(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    """The first two of three epochs follow the schedule of the two epochs of `trained`."""
    stop = stop_after(2, tmp_path)
    options = {"dataset_dir": phantoms, "max_epochs": 3, "first_stage_epochs": 2}
    bundle_run("training", [*TWO_STAGE, stop], output_dir=tmp_path / "run", **options)
    expected = {key: tensor for key, tensor in weights(trained).items() if key.startswith("decoder.")}
    assert expected
    got = weights(tmp_path / "run")
    assert all(torch.equal(got[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_two_gloo_processes_follow_the_loss_curve_of_one_through_both_stages(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "no_augmentation.yaml"
    overlay.write_text(NO_AUGMENTATION)
    options = {"dataset_dir": phantoms, "max_epochs": 4, "first_stage_epochs": 2, "second_stage_rate": 1e-3}
    bundle_run("training", [*TWO_STAGE, overlay], output_dir=tmp_path / "one", batch_size=2, **options)
    configs = [*TWO_STAGE, "overlays/multi_gpu.yaml", overlay]
    options |= {"batch_size": 1, "processes": 2, "network#find_unused_parameters": True}
    bundle_run("training", configs, output_dir=tmp_path / "two", **options)
    folders = (tmp_path / "one", tmp_path / "two")
    one, two = (curve(folder, "train_loss") for folder in folders)
    assert len(one) == 4
    torch.testing.assert_close(torch.tensor(two), torch.tensor(one), rtol=0, atol=1e-3)
    start = load_sam_encoder(SAMSliceEncoder(NARROW), "random", seed=0).state_dict(prefix="encoder.")
    one, two = (torch.cat([state[key].sub(start[key]).flatten() for key in start]) for state in map(encoder, folders))
    assert (two - one).norm() < 0.1 * one.norm()


@pytest.mark.parametrize(
    ("extra", "options", "message"),
    [
        ("overlays/cached.yaml", {}, "an encoder that changes has no embeddings to keep"),
        (
            "overlays/two_stage.yaml",
            {"frozen_part": "encodr"},
            "no part 'encodr' to freeze in the first stage; did you mean",
        ),
        (
            "overlays/two_stage.yaml",
            {"first_stage_epochs": 2},
            "first_stage_epochs is 2 and max_epochs is 2; each of the two stages needs an epoch",
        ),
    ],
)
def test_two_stages_that_make_no_sense_are_refused_in_a_sentence(
    bundle_run: Command, phantoms: Path, tmp_path: Path, extra: str, options: dict[str, object], message: str
) -> None:
    configs = ["train.json"] if "two_stage" in extra else TWO_STAGE
    folders = {"dataset_dir": phantoms, "output_dir": tmp_path / "run"}
    result = bundle_run("training", configs, fails=True, last=[ROOT / "configs" / extra], **folders, **options)
    error = result.stderr[result.stderr.index("ERROR: ") :]
    assert message in error
    assert "Traceback" not in error
