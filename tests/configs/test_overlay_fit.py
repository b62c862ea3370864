"""An overlay fits a network, or the run is refused in one sentence of the user's words, before any case is read."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from narrow_encoders import NARROW_ENCODERS

from scripts.run.check_config import check_config
from scripts.run.config_files import network_configs, overlay_config
from scripts.run.plain_errors import plain_sentence

from .conftest import CONFIGS, SETTINGS, Start

NETWORKS = ("sam3d", "detail", "detail+no_encoder", "unet")
OVERLAYS = sorted(path.stem for path in (CONFIGS / "overlays").glob("*.yaml"))
NO_SAM = "and this network has none; leave it out, or take --network sam3d or detail"
NO_DETAIL = "without an encoder the network must see the pixels, and this one does not; give --network detail+no_encoder"
NO_HOST = "it changes the skips of a host, and this network is none; give --network unet+dca"
NO_PLACES = "the decoder must have places for finer levels; take --network detail"
ONLY_SAM2 = "it takes more of SAM 2.1's encoder; give --overlay sam2 before it"
ENCODERS = ("dinov2", "dinov3", "medsam", "mobile_sam", "sam2", "sam_med2d", "two_scales")  # each chooses another one
TUNING = ("depth_adapter", "last_blocks", "lora")
OTHER_RUNS = {
    "dicom_seg": "it writes more beside the masks of sam3d segment; leave it out here",
    "export": "it writes a trained network for other programs; leave it out here",
    "merge": "it writes the encoder of a trained network; leave it out here",
}
REFUSED = {  # by network and overlay; what is not here fits
    **{(network, overlay): said for network in NETWORKS for overlay, said in OTHER_RUNS.items()},
    **{(network, "dca"): NO_HOST for network in NETWORKS[:3]},
    **{(network, name): NO_SAM for network in ("detail+no_encoder", "unet") for name in (*ENCODERS, *TUNING, "train_encoder")},
    **{(network, "sam2_levels"): ONLY_SAM2 for network in NETWORKS},
    ("sam3d", "no_encoder"): NO_DETAIL,
    ("detail+no_encoder", "no_encoder"): "no_encoder and no_encoder each choose the slice encoder; give one of them",
    ("detail+no_encoder", "two_stage"): "encoder has nothing to train in the second stage; name another frozen_part",
    ("detail+no_encoder", "two_scales"): "no_encoder and two_scales each choose the slice encoder; give one of them",
    ("unet", "cached"): "it keeps what an encoder gives, and this network has none; leave out --cached",
    ("unet", "no_encoder"): NO_DETAIL,
    ("unet", "two_stage"): "the network has no part 'encoder' to freeze in the first stage",
}
BOTH_TRAIN = "tune a frozen encoder, and encoder_trainable: true trains all of it; set it to false, or omit the overlays"
TOGETHER = {  # overlays of which each fits the network alone
    ("cached", "lora"): None,  # it is the cache that refuses a tuned encoder, before the first epoch
    ("cached", "train_encoder"): "an encoder that changes has no embeddings to keep; leave out --cached, or the overlay",
    ("cached", "two_stage"): "an encoder that changes has no embeddings to keep; leave out --cached, or the overlay",
    ("lora", "train_encoder"): BOTH_TRAIN,
    ("train_encoder", "lora"): "it trains all of the encoder, and another overlay keeps it frozen; leave one of the two out",
    ("lora", "two_stage"): BOTH_TRAIN,
    ("two_stage", "lora"): None,
    ("lora", "sam2"): "it is made for SAM's encoder, and this run has another one; leave one of the two overlays out",
    ("medsam", "no_encoder"): NO_SAM,
    ("medsam", "sam2"): "each choose the slice encoder; give one of them",
    ("no_encoder", "sam2"): NO_SAM,
    ("lora", "no_encoder"): NO_SAM,
    ("no_encoder", "train_encoder"): NO_SAM,
    ("no_encoder", "two_stage"): "encoder has nothing to train in the second stage; name another frozen_part",
}
# Of each kind.
PAIRED = (
    "cached",
    "joint_dice",
    "lora",
    "medsam",
    "multi_gpu",
    "no_encoder",
    "sam2",
    "train_encoder",
    "two_stage",
)  # of each kind
PAIRS = [
    (network, pair)
    for network in NETWORKS[:3]
    for pair in itertools.combinations(PAIRED, 2)
    if not any((network, overlay) in REFUSED for overlay in pair)
]


def files_of(network: str, *overlays: str) -> list[str]:
    configs = [*network_configs(network), *map(overlay_config, overlays)]
    return [str(path) for path in (CONFIGS / "train.json", *configs)]


def name_of(file: str) -> str:
    return Path(file).name


def said(files: list[str], run: str = "training") -> str | None:
    """The sentence with which a run is refused by its first steps: the check, the network, and what an overlay adds to them."""
    try:
        check_config(["monai.bundle", "run", run, "--config_file", repr(files)])
        parser = ConfigParser()
        parser.read_config(files)
        on_embeddings = "network_def#decoder" in parser  # which alone have the settings of the narrow network
        variants = [one.variant for one in NARROW_ENCODERS.values() if f"{one.overlay}.yaml" in map(name_of, files)]
        narrow = {**SETTINGS, "encoder_variant": dict(variants[-1])} if variants else SETTINGS
        parser.update({key: value for key, value in narrow.items() if on_embeddings or "#" not in key})
        for part in ("network_def", "two_stage"):
            if part in parser:
                parser.get_parsed_content(part)
    except Exception as error:
        return plain_sentence(error)
    return None


def assert_in_the_users_words(sentence: str | None, expected: str) -> None:
    assert sentence is not None
    assert expected in sentence
    assert ";" in sentence, "no remedy"
    assert len(sentence.splitlines()) == 1
    assert not any(word in sentence for word in ("#", "@", "_target_", "Traceback", "bug of the bundle"))


@pytest.mark.parametrize(("network", "overlay"), list(itertools.product(NETWORKS, [*OVERLAYS, "dca"])))
def test_an_overlay_fits_a_network_or_is_refused(network: str, overlay: str) -> None:
    sentence = said(files_of(network, overlay))
    if (network, overlay) in REFUSED:
        assert_in_the_users_words(sentence, REFUSED[network, overlay])
    else:
        assert sentence is None


@pytest.mark.parametrize(("network", "pair"), PAIRS, ids=str)
def test_two_overlays_that_fit_a_network_fit_each_other_or_are_refused(network: str, pair: tuple[str, str]) -> None:
    for overlays in (pair, pair[::-1]) if pair in TOGETHER else (pair,):
        sentence = said(files_of(network, *overlays))
        if expected := TOGETHER.get(overlays, TOGETHER.get(pair)):
            assert_in_the_users_words(sentence, expected)
        else:
            assert sentence is None


@pytest.mark.parametrize("overlay", ["cached", "ema", "joint_dice", "mlflow", "multi_gpu", "two_stage", "cost"])
def test_an_overlay_for_training_is_refused_where_masks_are_made(overlay: str) -> None:
    files = [str(CONFIGS / "inference.json"), str(overlay_config(overlay))]
    assert_in_the_users_words(said(files, "inference"), f"{overlay} does not fit this run: ")


def test_an_overlay_of_a_user_may_say_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("_needs_: {network_def#spleen: 'it needs a spleen; add one'}\nmax_epochs: 3\n")
    assert said([str(CONFIGS / "train.json"), str(tmp_path / "mine.yaml")]) == (
        "mine does not fit this run: it needs a spleen; add one"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "overlay"),
    [pair for pair in itertools.product(NETWORKS[:3], OVERLAYS) if pair not in REFUSED and pair[1] != "multi_gpu"],
)
def test_what_fits_trains(network: str, overlay: str, start: Start, phantoms: Path, tmp_path: Path) -> None:
    if overlay == "mlflow":
        pytest.importorskip("mlflow", reason="an extra: pip install 'sam3d-bundle[mlflow]'")
    narrow: dict[str, Any] = {"max_epochs": 2, "dataset_dir": phantoms, "output_dir": tmp_path / "run", "num_workers": 0}
    if overlay in NARROW_ENCODERS:
        narrow["encoder_variant"] = dict(NARROW_ENCODERS[overlay].variant)
    run = start("training", *files_of(network, overlay), **narrow)
    run.run()
    assert (tmp_path / "run" / "model.pt").is_file()
