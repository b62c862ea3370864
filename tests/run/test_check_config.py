"""What means nothing in a run's configuration is said before any work, in a sentence; what means something passes."""

import json
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.run.check_config import check_config
from scripts.run.merge_configs import CHOOSES
from scripts.run.option_ranges import RANGES
from scripts.run.plain_errors import plain_sentence

CONFIGS = ROOT / "configs"
RUNS = {"train": ("train.json",), "evaluate": ("train.json", "evaluate.json"), "inference": ("inference.json",)}
RUN_IDS = {"evaluate.json": "evaluating", "inference.json": "inference"}
PRESETS = sorted(path.relative_to(CONFIGS).as_posix() for path in (CONFIGS / "datasets").glob("*.yaml"))
WITH_NETWORK = "datasets/custom.yaml"
NETWORKS = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("networks/*.yaml"))
OVERLAYS = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("overlays/*.yaml"))
ONLY_TRAIN = ("cached", "cost", "ema", "mlflow", "multi_gpu", "joint_dice", "two_stage")
SERVES = {
    **dict.fromkeys(ONLY_TRAIN, "train"),
    **dict.fromkeys(("dicom_seg", "rollout", "merge", "export"), "inference"),
}  # the others: all runs
ENCODERS = (
    "dinov2",
    "dinov3",
    "medsam",
    "mobile_sam",
    "sam2",
    "sam_med2d",
    "two_scales",
)  # of which a network has one
OVER = {
    "no_encoder": ["networks/detail.yaml"],
    "dca": ["research/networks/unet.yaml"],
    "skip_control": ["research/networks/unet.yaml"],
    "rollout": ["research/networks/transunet.yaml"],
    "sam2_levels": ["networks/detail.yaml", "overlays/sam2.yaml"],
}


def arguments(*files: str | Path, **options: Any) -> list[str]:
    """What a user types; strings as they are."""
    paths = [str(CONFIGS / file) for file in files or ("train.json",)]
    words = [word for key, value in options.items() for word in (f"--{key}", value if isinstance(value, str) else repr(value))]
    run = next((name for file, name in RUN_IDS.items() if file in files), "training")
    return ["monai.bundle", "run", run, "--config_file", repr(paths), *words]


def checked(*files: str | Path, **options: Any) -> None:
    check_config(arguments(*files, **options))


def refusal(*files: str | Path, **options: Any) -> str:
    """The sentence that the user is shown."""
    with pytest.raises(ValueError) as caught:
        checked(*files, **options)
    sentence = plain_sentence(caught.value)
    assert sentence is not None
    assert len(sentence.splitlines()) == 1
    return sentence


def preset(folder: Path, text: str) -> Path:
    (folder / "preset.yaml").write_text(text)
    return folder / "preset.yaml"


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("names", [(), *((name,) for name in PRESETS), *((name, WITH_NETWORK) for name in NETWORKS)], ids=str)
def test_every_preset_and_network_passes_in_every_run(run: str, names: tuple[str, ...]) -> None:
    checked(*RUNS[run], *names)


@pytest.mark.parametrize(
    ("run", "overlay"),
    [(run, overlay) for run in RUNS for overlay in OVERLAYS if SERVES.get(Path(overlay).stem, run) == run],
)
def test_every_overlay_passes_where_it_is_documented(run: str, overlay: str) -> None:
    files = [*RUNS[run], *OVER.get(Path(overlay).stem, []), overlay]
    checked(*files)
    checked(*files, "datasets/hippocampus.yaml")


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_overlays_of_one_training_pass_together(encoder: str) -> None:
    overlays = {Path(overlay).stem: overlay for overlay in OVERLAYS}
    trains_the_encoder = {"train_encoder", "two_stage", "last_blocks", "lora", "depth_adapter"}  # beside cached.yaml
    left_out = {*OVER, *ENCODERS, *trains_the_encoder} - {encoder}
    together = [overlay for name, overlay in overlays.items() if SERVES.get(name, "train") == "train" and name not in left_out]
    assert any(encoder in overlay for overlay in together)
    checked("train.json", *together, "datasets/custom.yaml")


@pytest.mark.parametrize("value", ["no", "0"])
def test_adapters_are_chosen_by_a_truth_value_alone(value: str) -> None:
    """Any word would be true."""
    with pytest.raises(ValueError, match=r"network_def#encoder#encoder#adapters.* true or false without quotes"):
        checked("train.json", "overlays/sam_med2d.yaml", **{"network_def#encoder#encoder#adapters": value})


@pytest.mark.parametrize("run", RUNS)
def test_the_options_of_the_manual_pass(run: str) -> None:
    options = {"dataset_dir": "data", "output_dir": "out", "encoder_weights": "random", "roi_depth": 8, "device": "cpu"}
    if run != "train":
        options["checkpoint"] = "m.pt"
    if run == "train":
        options |= {"resume": "true", "max_epochs": 3, "val_interval": 1, "skip_bad": True, "learning_rate": 1e-4}
    checked(*RUNS[run], **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_epoch": 5}, "'max_epoch' is no option of this bundle and no id of its configs; did you mean max_epochs"),
        ({"outputdir": "x"}, "did you mean output_dir"),
        ({"xyzzy_quux": 1}, "'xyzzy_quux' is no option"),
        ({"train#bacth_size": 2}, "'train#bacth_size' is no id of the configs"),
        ({"validate#infererr": 2}, "did you mean inferer"),
    ],
)
def test_a_misspelt_option_is_named_with_what_is_close(options: dict[str, Any], said: str) -> None:
    assert said in refusal(**options)


@pytest.mark.parametrize("run", RUNS)
def test_a_misspelt_key_of_a_preset_is_named_with_what_is_close(tmp_path: Path, run: str) -> None:
    said = refusal(*RUNS[run], preset(tmp_path, "spacng: [1.0, 1.0, 1.0]\n"))
    assert "'spacng' is no option of this bundle" in said
    assert "did you mean spacing" in said


def test_a_preset_of_one_run_serves_the_others(tmp_path: Path) -> None:
    """Inference knows no `max_epochs`, and says nothing of it."""
    for files in RUNS.values():
        checked(*files, preset(tmp_path, "max_epochs: 5\nnsd_unit: mm\n"))


def test_ids_that_an_overlay_brings_for_its_own_use_pass(tmp_path: Path) -> None:
    steps = "['$print(1)', {_target_: scripts.handlers.check_run_folder, output_dir: '@output_dir', resume: false}]"
    checked("train.json", preset(tmp_path, f"my_depth: 8\nroi_depth: '@my_depth'\nmy_steps: {steps}\n"))


def test_a_misspelt_list_of_components_is_no_list_of_steps(tmp_path: Path) -> None:
    said = refusal("train.json", preset(tmp_path, "random_transformss: [{_target_: RandFlipd, keys: image}]\n"))
    assert "'random_transformss' is no option of this bundle" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"intensity#uppr": 99.0}, "'intensity#uppr' is no argument of ScaleIntensityRangePercentilesd; did you mean upper"),
        ({"optimizer#momentum": 0.9}, "'optimizer#momentum' is no argument of torch.optim.AdamW"),
        ({"network_def#decoder#out_chanels": 3}, "did you mean out_channels"),
        ({"network_def#encoder#encoder#trainabel": True}, "did you mean trainable"),
        ({"cases#skip": True}, "did you mean skip_bad"),
    ],
)
def test_an_argument_that_its_component_does_not_take_is_refused(options: dict[str, Any], said: str) -> None:
    assert said in refusal(**options)


@pytest.mark.parametrize(
    "target", ["ScaleIntensityRangePercentilsd", "scripts.data.ReadCasesd", "scripts.nothing.Here", "torch.optim.AdamX"]
)
def test_a_component_that_does_not_exist_is_refused(target: str) -> None:
    assert f"'intensity' names the component {target}, which does not exist" in refusal(**{"intensity#_target_": target})


def test_a_component_whose_import_fails_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    said = refusal(**{"loss#loss": {"_target_": "broken_module.Loss"}})
    assert "'loss#loss': importing broken_module.Loss failed" in said
    assert "no_such_library" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"roi_depth": "@roi_dept"}, "--roi_depth refers to @roi_dept, which is no id of the configs"),
        ({"spatial_size": "$[@plane, @plane]"}, "--spatial_size refers to @plane"),
        ({"train#dataloader#batch_size": "@batchsize"}, "did you mean batch_size"),
        ({"train#trainer#network": "@train#nothing"}, "--train#trainer#network refers to @train#nothing"),
    ],
)
def test_a_reference_to_nothing_is_refused(options: dict[str, Any], said: str) -> None:
    assert said in refusal(**options)


SWITCHES = {
    "train.json": ("network_def#encoder#encoder#trainable", "cases#skip_bad", "checkpointing#resume", "train#trainer#amp"),
    "inference.json": ("network_def#encoder#encoder#trainable", "evaluator#amp"),
    "evaluate.json": ("metrics#spacing_known",),
}


@pytest.mark.parametrize(("word", "meant"), [("false", False), ("False", False), ("true", True), ("TRUE", True), (True, True)])
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_means_what_it_says_wherever_it_is_used(name: str, word: Any, meant: bool) -> None:
    """Any word would be true in Python, `false` too."""
    switches = ("resume", "skip_bad", "empty_labels", "encoder_trainable", "spacing_known", "amp")
    checked("train.json", **dict.fromkeys(switches[:-1], word))
    checked("train.json", "evaluate.json", **dict.fromkeys(switches[2:-1], word))
    parser = ConfigParser(ConfigParser.load_config_files([str(CONFIGS / "train.json"), str(CONFIGS / name)]))
    parser.update(dict.fromkeys(switches, word))
    assert [parser.get_parsed_content(identifier) for identifier in SWITCHES[name]] == [meant] * len(SWITCHES[name])


def test_a_switch_inside_a_component_is_refused_with_the_word_that_works() -> None:
    said = refusal(**{"loss#loss#include_background": "false"})
    assert "--loss#loss#include_background false would be the word 'false', which counts as true; write False" in said
    checked(**{"loss#loss#include_background": "False"})


@pytest.mark.parametrize("word", ["no", "fasle", 0, 1])
def test_a_switch_takes_no_other_word(word: Any) -> None:
    assert f"--resume must be true or false, got {word!r}" in refusal(resume=word)


@pytest.mark.parametrize(
    ("name", "word", "said"),
    [
        ("max_epochs", "five", "a whole number of at least 1, got 'five'"),
        ("val_fraction", "0,2", "a number from 0 to below 1, got (0, 2)"),
        ("seed", "now", "a whole number from 0 to 4294967295, got 'now'"),
    ],
)
def test_a_word_in_place_of_a_number_is_refused(name: str, word: str, said: str) -> None:
    assert f"--{name} must be {said}" in refusal(**{name: word})


def test_what_yaml_takes_for_a_word_is_refused_with_the_spelling_that_works(tmp_path: Path) -> None:
    said = refusal("train.json", preset(tmp_path, "learning_rate: 1e-4\n"))
    assert f"{tmp_path}/preset.yaml: learning_rate must be a number above 0, got '1e-4' (in YAML, write 1e-4 as 1.0e-4)" in said


OUT_OF_RANGE = {
    "batch_size": ["0", "-1", "1.5", "True", "$None"],
    "learning_rate": ["-0.1", "0", "1e999", "nan"],
    "num_workers": ["-1", "0.5"],
    "roi_depth": ["7.5", "0", "[8]"],
    "spatial_size": ["[0,48]", "[48]", "[48,48,48]", "[48.5,48]", "48"],
    "axcodes": ["ras", "RA", "RASA", "RRS", "RLS", "xyz"],
    "spacing": ["[0,1,1]", "[1,1]", "[-2,1,1]", "1", "['1',1,1]"],
    "labels": ["{0: background}", "{0: background, 1: False}", "{1: a, 0: b}", "{0: a, 1: a}", "{0: a, x: b}", "[a, b]"],
    "merge_labels": [
        "[1]",
        "{lung: 1}",
        "{lung: []}",
        "{lung: lung}",
        "{lung: [1.5]}",
        "{'a:b': [1]}",
        "{$a: [1]}",
        "{1: [1]}",
    ],
    "ignore_label": ["255", "[a]", "[1.5]", "['3']"],
    "class_weights": ["1", "[1, -1]", "[a, b]"],
    "crop_classes": ["1", "[1, -1]", "[a, b]", "balance"],
    "regions": ["[1]", "{whole: 1}", "{whole: []}", "{whole: [a]}", "{'a#b': [1]}", "{1: [1]}"],
    "region_values": ["1", "[a]"],
    "out_channels": ["0", "1.5"],
    "temperature": ["0", "-1", "inf", "[]", "[1, 0]", "warm"],
    "tta": ["flips", "True", "1"],
    "before_argmax": ["1", "[1]"],
    "val_fraction": ["1", "-0.2", "20"],
    "folds": ["1", "2.5", "all"],
    "fold": ["-1", "0.5"],
    "max_epochs": ["0", "-3", "2.5"],
    "epoch_length": ["0"],
    "seed": ["-1", "1.5", "4294967296"],
    "encoder_seed": ["-1"],
    "encoder_variant": ["vit_x", "VIT_B", "3"],
    "modalities": ["0", "1.5"],
    "num_classes": ["1", "2.0"],
    "weight_decay": ["-0.1"],
    "warmup_fraction": ["-0.1", "1", "5"],
    "val_interval": ["0", "0.5"],
    "early_stopping_patience": ["0", "-1"],
    "crop_pos": ["-1"],
    "crop_neg": ["-1"],
    "supervision_weights": ["1", "[-1,1]", "[a]"],
    "nsd_tolerance": ["-1"],
    "nsd_unit": ["millimetres", "MM"],
    "inferer#overlap": ["1", "-0.1", "50"],
    "inferer#memory": ["-1", "lots"],
    "inferer#mode": ["window"],
    "inferer#roi_depth": ["0"],
    "network_def#encoder#encoder#memory": ["0"],
    "intensity#lower": ["-1", "101"],
    "optimizer#lr": ["0"],
    "train#dataloader#batch_size": ["0"],
}


@pytest.mark.parametrize(("name", "word"), [(name, word) for name, words in OUT_OF_RANGE.items() for word in words])
def test_a_value_out_of_its_range_is_refused_by_the_name_of_the_option(name: str, word: str) -> None:
    file = "train.json" if name.partition("#")[0] in json.loads((CONFIGS / "train.json").read_text()) else "inference.json"
    assert f"--{name} must be " in refusal(file, **{name: word})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_size: $@roi_depth - 32", "batch_size must be a whole number of at least 1, got 0 from $@roi_depth - 32"),
        ("roi_depth: $32 / 4", "roi_depth must be a whole number of at least 1, got 8.0 from $32 / 4"),
        (
            "plane: 0\nspatial_size: [$2 * 48, '@plane']",
            "spatial_size must be a list of two whole numbers of at least 1, got [96, 0]",
        ),
        ("learning_rate: $-1e-3", "learning_rate must be a number above 0, got -0.001 from $-1e-3"),
        ("axcodes: $'ras'", "axcodes must be three capitals"),
        ("inferer#overlap: $0.5 * 2", "inferer#overlap must be a number from 0 to below 1, got 1.0 from $0.5 * 2"),
        ("train#dataloader#num_workers: $-1", "train#dataloader#num_workers must be a whole number of at least 0, got -1"),
        ("labels: {'0': background, '1': $'background'}", "labels must be names by label value"),
    ],
)
def test_a_value_that_an_expression_gives_is_refused_too(tmp_path: Path, text: str, said: str) -> None:
    file = preset(tmp_path, text)
    assert refusal("train.json", file).startswith(f"{file}: {said}")


@pytest.mark.parametrize(
    "text",
    [
        "batch_size: $@roi_depth - 31",
        "epoch_length: $len(@train#dataloader) - 1000",  # builds the dataset
        "batch_size: $idist.get_world_size() - 1",  # is known once processes know each other
        "batch_size: $torch.tensor(0)",  # no plain number
        "nsd_tolerance: $1 / 0",  # not of this run
    ],
)
def test_what_only_the_run_can_know_is_not_evaluated(tmp_path: Path, text: str) -> None:
    checked("train.json", preset(tmp_path, text))


def test_what_was_evaluated_is_handed_on() -> None:
    values: dict[str, Any] = {"seed": 3}
    check_config(arguments(batch_size="$1 + 1", roi_depth="$@batch_size * 4", seed="$5"), values)
    assert (values["batch_size"], values["roi_depth"], values["seed"]) == (2, 8, 3)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"first_stage_epochs": 5, "max_epochs": 5}, "is 5 and max_epochs is 5"),
        ({"first_stage_epochs": 0}, "is 0 and max_epochs is 100"),
        ({"max_epochs": 1}, "is 0 and max_epochs is 1"),
        ({"first_stage_epochs": "$2 * @max_epochs"}, "is 200 and max_epochs is 100"),
    ],
)
def test_each_of_two_stages_needs_an_epoch(options: dict[str, Any], found: str) -> None:
    said = f"first_stage_epochs {found}; each of the two stages needs an epoch"
    assert said in refusal("train.json", "overlays/two_stage.yaml", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ignore_label": [255, 1]}, "--ignore_label has 1, which labels names as a class"),
        ({"class_weights": [1, 2, 3]}, "--class_weights has 3 numbers and labels names 2 classes; give one for each"),
        ({"class_weights": [0, 0]}, "--class_weights holds zeros alone"),
        ({"crop_classes": [1, 2, 3]}, "--crop_classes has 3 numbers and labels names 2 classes; give one for each"),
        ({"crop_classes": [0, 0]}, "--crop_classes holds zeros alone"),
        ({"merge_labels": {"organ": ["foregrounds"]}}, "--merge_labels names 'foregrounds' for 'organ', which labels does not"),
        ({"merge_labels": {"organ": [1]}, "class_weights": [1, 2, 3]}, "merge_labels makes, with the background, 2 classes"),
        ({"merge_labels": {"organ": [1]}, "num_classes": 3}, "merge_labels makes, with the background, 2 values"),
    ],
)
def test_ignored_values_and_weights_fit_the_classes(options: dict[str, Any], said: str) -> None:
    assert said in refusal(**options)
    checked(ignore_label=[255], class_weights=[0, 0.5], merge_labels={"organ": ["foreground"]}, crop_classes=[0, 1])
    checked(crop_classes="balanced")


@pytest.mark.parametrize("run", RUNS)
def test_the_weights_fit_the_classes_that_are_trained(tmp_path: Path, run: str) -> None:
    labels = 'labels: {"0": background, "1": left lung, "2": right lung, "3": lesion}\n'
    merged = f"{labels}merge_labels: {{lung: [left lung, 2], lesion: [lesion]}}\nclass_weights: [1, 1, 5]\n"
    checked(*RUNS[run], preset(tmp_path, merged))
    checked(*RUNS[run], "datasets/synapse.yaml", preset(tmp_path, f"class_weights: {[1] * 9}\n"))
    checked(*RUNS[run], "datasets/synapse.yaml", preset(tmp_path, f"merge_labels: {{}}\nclass_weights: {[1] * 14}\n"))
    file = preset(tmp_path, f"{labels}class_weights: [1, 1, 5]\n")
    assert f"{file}: class_weights has 3 numbers and labels names 4 classes" in refusal(*RUNS[run], file)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"regions": {"whole": [1, 3]}}, "--regions has 3 in 'whole', and structures have the values 1, 2 in masks"),
        ({"region_values": [1]}, "--region_values has 1 numbers and there are 2 regions"),
        ({"region_values": [2, 1]}, "--region_values would write 2 where 1 (edema) is labelled"),
        ({"class_weights": [1, 2, 3]}, "--class_weights has 3 numbers and there are 2 regions; give one for each"),
        ({"out_channels": 3}, "--out_channels is 3 and the preset needs 2 outputs; leave out_channels out"),
        ({"loss#loss": {"_target_": "scripts.losses.JointDiceCELoss"}}, "--loss#loss is JointDiceCELoss"),
    ],
)
def test_regions_fit_the_labels_and_the_loss(options: dict[str, Any], said: str) -> None:
    labels = {"0": "background", "1": "edema", "2": "core"}
    regions = {"labels": labels, "regions": {"whole": [1, 2], "core": [2]}, "region_values": [1, 2]}
    checked(**regions, class_weights=[1, 2])
    assert said in refusal(**{**regions, **options})


def test_a_temperature_for_each_class_or_one_for_all() -> None:
    labels = {"0": "background", "1": "edema", "2": "core"}
    checked("inference.json", labels=labels, temperature=[1, 2.5, 0.5])
    checked("inference.json", labels=labels, temperature=1.5)
    assert "--temperature has 2 numbers and labels names 3 classes" in refusal(
        "inference.json", labels=labels, temperature=[1, 2]
    )


def test_nothing_as_a_value_is_refused_where_it_would_be_passed_over() -> None:
    assert refusal(batch_size="None") == "--batch_size None would be passed over; leave it out, or write --batch_size '$None'"
    checked("train.json", "overlays/cached.yaml", cache_limit="$None")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "--batch_size must be a whole number of at least 1, got 0"),
        ({"spatial_size": [0, 48]}, "--spatial_size must be a list of two whole numbers of at least 1, got [0, 48]"),
        ({"axcodes": "ras"}, "--axcodes must be three capitals, one each of R or L, A or P, S or I, such as RAS, got 'ras'"),
        ({"inferer#overlap": 1}, "--inferer#overlap must be a number from 0 to below 1, got 1"),
        ({"inferer#memory": -1}, "--inferer#memory must be a number of at least 0, or null, got -1"),
    ],
)
def test_a_refusal_says_the_range(options: dict[str, Any], said: str) -> None:
    assert refusal(**options) == said


DETAIL = "networks/detail.yaml"
WRONG_NETWORKS = {
    ("network_def#decoder#embedding_dropout", 1): "a number from 0 to below 1",
    ("network_def#decoder#embedding_dropout", -0.1): "a number from 0 to below 1",
    ("network_def#decoder#entrance_channels", 0): "a whole number of at least 1, or null",
    ("network_def#decoder#shortcut_kernel", 2): "1 or 3",
    ("network_def#decoder#supervised_stages", 0): "a whole number of at least 1",
    ("network_def#decoder#channels", "[64, 0, 16, 8]"): "a list of whole numbers of at least 1",
    ("network_def#decoder#channels", 64): "a list of whole numbers of at least 1",
    ("network_def#decoder#upsample", "cubic"): "linear or nearest",
    ("network_def#decoder#head", "deep"): "linear or convolutional",
    ("detail_channels", "[16, 32.5, 64, 128]"): "a list of whole numbers of at least 1",
    ("network_def#detail#channels", "[0, 1, 2, 3]"): "a list of whole numbers of at least 1",
    ("network_def#detail#in_channels", 0): "a whole number of at least 1",
}


@pytest.mark.parametrize(("option", "value"), WRONG_NETWORKS, ids=str)
def test_a_number_that_no_network_has_is_refused_with_its_range(option: str, value: Any) -> None:
    said = refusal("train.json", DETAIL, **{option: value})
    shown = literal_eval(value) if str(value).startswith("[") else value
    assert said == f"--{option} must be {WRONG_NETWORKS[option, value]}, got {shown!r}"


@pytest.mark.parametrize(
    "options",
    [
        {"spatial_size": (97, 33), "roi_depth": 1, "axcodes": "PLI", "spacing": "[1, 1.5, -1]"},  # no multiples are needed
        {"inferer#overlap": 0, "inferer#memory": 0, "crop_neg": 0, "warmup_fraction": 0, "num_workers": 0, "weight_decay": 0},
        {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8], "mode": "gaussian"}},
        {"intensity": {"_target_": "NormalizeIntensityd", "keys": "image"}},
    ],
    ids=str,
)
def test_a_value_at_the_end_of_its_range_passes(options: dict[str, Any]) -> None:
    checked(**options)


def test_every_plain_value_of_the_run_configs_and_overlays_has_a_range() -> None:
    files = [CONFIGS / name for name in ("train.json", "evaluate.json", "inference.json")]
    files += [*CONFIGS.glob("overlays/*.yaml"), *CONFIGS.glob("datasets/*.yaml")]
    values = {key: value for file in files for key, value in ConfigParser.load_config_file(str(file)).items()}
    plain = {key for key, value in values.items() if isinstance(value, str | int | float | None) and "#" not in key}
    parts = {"trained_module", "network", "run", CHOOSES}  # references to what is built, and a mark
    assert plain - RANGES.keys() - parts == set()


WINDOW = "{{_target_: ScaleIntensityRanged, keys: image, a_min: {}, a_max: 240, b_min: 0, b_max: 1}}"
PRESET_FAULTS = {
    "batch_size: 0": "batch_size must be a whole number of at least 1, got 0",
    "labels: {0: background, 1: no}": "labels must be names by label value",
    "num_classes: 5": "num_classes is 5 and labels names 2 values",
    "spacing: [1, 1, 1]\nspacing_known: false": "spacing is [1, 1, 1] mm and spacing_known is false",
    "nsd_unit: mm\nspacing_known: false": "nsd_unit is mm and spacing_known is false",
    "crop_pos: 0\ncrop_neg: 0": "crop_pos and crop_neg are both 0",
    "folds: 5": "folds is 5 and fold is null; say which one this run holds out, from 0 to 4",
    "fold: 1": "fold is 1 and folds is null; say of how many folds it is one, or leave fold out",
    "folds: 5\nfold: 5": "fold is 5 and folds is 5; folds are counted from 0 to 4",
    "folds: 5\nfold: 0\nval_fraction: 0": "val_fraction is 0, all cases serve training, and folds is 5; leave one of them out",
    "intensity#keys: pet": "intensity#keys must be image, got 'pet'",
    "intensity#lower: 99.9": "intensity#lower is 99.9 and upper is 99.5; lower must be below upper",
    "intensity: {_target_: ScaleIntensityRanged, keys: image, a_min: 240, a_max: -160, b_min: 0, b_max: 1}": (
        "intensity#a_min is 240 and a_max is -160; a_min must be below a_max"
    ),
    f"modalities: 2\nintensity: [{WINDOW.format(-160)}]": "intensity has 1 transforms and modalities is 2; give one for",
    f"modalities: 1\nintensity: [{WINDOW.format(0)}, {WINDOW.format(0)}]": "intensity has 2 transforms and modalities is 1;",
    f"modalities: 2\nintensity: [{WINDOW.format(0)}, {WINDOW.format(300)}]": "intensity#1#a_min is 300 and a_max is 240; a_min",
    f"modalities: 1\nintensity: [{WINDOW.format('low')}]": "intensity#0#a_min must be a number, got",
    "intensity: {_target_: ScaleIntensityRanged, keys: image, a_min: low, a_max: 1}": "intensity#a_min must be a number, got",
    "inferer: {_target_: scripts.inferers.VolumeInferer, roi_depth: '@roi_depth', overlap: 2}": "inferer#overlap must be",
    "resume: nope": "resume must be true or false, got 'nope'",
    "loss#loss: {_target_: DiceLoss, sigmoid: 'no'}": "loss#loss#sigmoid must be True or False, got 'no'",
    "loss#loss: {_target_: DiceLoss, sigmoid: 1}": "loss#loss#sigmoid must be True or False, got 1",
    "val_fraction: 0.2\nval_fraction: 0.3": "a key may stand once (duplicate key: `val_fraction`)",
    "labels: {'0': background, '1': a, '1': b}": "a key may stand once (duplicate key: `1`)",
}


@pytest.mark.filterwarnings("ignore:Duplicate key")  # MONAI's, which goes on with the second
@pytest.mark.parametrize("run", ["train", "evaluate"])
@pytest.mark.parametrize("text", PRESET_FAULTS)
def test_what_cannot_be_in_a_preset_is_refused_with_its_file_and_key(tmp_path: Path, text: str, run: str) -> None:
    file = preset(tmp_path, text)
    assert refusal(*RUNS[run], file).startswith(f"{file}: {PRESET_FAULTS[text]}")


def test_the_last_file_that_says_it_is_named(tmp_path: Path) -> None:
    file = preset(tmp_path, "intensity#lower: 100")
    assert refusal("train.json", "datasets/acdc.yaml", file).startswith(f"{file}: intensity#lower is 100 and upper is 99.5")
    said = refusal("train.json", file, "datasets/acdc.yaml", **{"intensity#upper": 0.1})
    assert said.startswith(f"{CONFIGS}/datasets/acdc.yaml: intensity#lower is 0.5 and upper is 0.1")


@pytest.mark.parametrize(
    ("run", "options", "said"),
    [
        (
            "train",
            {"checkpoint": "m.pt"},
            "a run goes on by --resume true, and a new one starts from its weights by --init_from",
        ),
        ("evaluate", {"max_epochs": 3}, "leave it out"),
        ("evaluate", {"learning_rate": 0.1}, "leave it out"),
        ("evaluate", {"resume": "true"}, "leave it out"),
        ("evaluate", {"train#trainer#max_epochs": 3}, "leave it out"),
        ("inference", {"resume": "true"}, "the same command again makes the masks that are missing"),
        ("inference", {"dataset_dir": "a", "input": "b"}, "--input says what is segmented"),
    ],
)
def test_an_option_that_changes_nothing_is_refused_with_what_is_meant(run: str, options: dict[str, Any], said: str) -> None:
    assert refusal(*RUNS[run], **options) == f"--{next(iter(options))} has no effect in this run; {said}"


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("files", [["networks/detail.yaml", "overlays/no_encoder.yaml"], ["research/networks/unet.yaml"]])
def test_encoder_weights_have_no_effect_on_a_network_without_an_encoder(run: str, files: list[str], tmp_path: Path) -> None:
    files = [*RUNS[run], *files]
    said = "--encoder_weights has no effect in this run; this network has no encoder, leave it out"
    assert refusal(*files, encoder_weights="random") == said
    assert "--encoder_seed has no effect in this run" in refusal(*files, encoder_seed=3)
    checked(*files, preset(tmp_path, "encoder_weights: random\n"))  # a preset serves all networks


@pytest.mark.parametrize(
    ("files", "options"),
    [
        (["train.json"], {"nsd_tolerance": 2}),  # written into the checkpoint, for its evaluation
        (["train.json"], {"train#dataloader#num_workers": 0, "train#trainer": {"_target_": "SupervisedTrainer"}}),
    ],
)
def test_an_option_that_changes_something_passes(files: list[str], options: dict[str, Any]) -> None:
    checked(*files, **options)


def test_embeddings_are_cached_with_the_options_of_their_training() -> None:
    words = arguments("train.json", "overlays/cached.yaml", learning_rate=0.1, max_epochs=3)
    check_config([*words[:2], "caching", *words[3:]])


def test_an_expression_in_place_of_a_number_passes() -> None:
    checked(max_epochs="$2 * 3")


@pytest.mark.parametrize("run", RUNS)
def test_a_device_is_named_as_torch_names_it(run: str) -> None:
    checked(*RUNS[run], device="cpu")


@pytest.mark.parametrize("name", ["gpu", "cpu:x", "", "graphics card"])
def test_a_device_that_torch_does_not_know_is_refused(name: str) -> None:
    assert f"--device must be cpu, cuda or cuda:NUMBER, got {name!r}" in refusal(device=name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    count = torch.cuda.device_count()
    said = refusal(device=f"cuda:{count}")
    assert f"--device cuda:{count} asks for a GPU and torch sees {count or 'none'}" in said
    if not count:
        assert "--device cuda asks for a GPU and torch sees none" in refusal(device="cuda")


@pytest.mark.parametrize(
    ("options", "overlay"),
    [({"cache_dir": "x"}, "cached"), ({"cache_limit": 5}, "cached"), ({"cached_views": [[]]}, "cached")],
)
def test_an_option_of_an_overlay_that_is_not_there_is_refused(options: dict[str, Any], overlay: str) -> None:
    (name,) = options
    assert f"'{name}' has no effect: it belongs to configs/overlays/{overlay}.yaml" in refusal(**options)
    checked("train.json", f"overlays/{overlay}.yaml", **options)


@pytest.mark.parametrize(("run", "option"), [("inference", "max_epochs"), ("train", "input"), ("train", "checkpoint")])
def test_an_option_of_another_run_is_refused_where_a_preset_may_have_it(tmp_path: Path, run: str, option: str) -> None:
    assert f"--{option} has no effect in this run" in refusal(*RUNS[run], **{option: 3})
    checked(*RUNS[run], preset(tmp_path, f"{option}: {'3' if option == 'max_epochs' else 'a/path'}\n"))


@pytest.mark.parametrize("name", ["$home", "@data"])
def test_a_path_that_would_be_run_as_an_expression_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert f"it is a path: write ./{name}" in refusal("inference.json", input=name)


@pytest.mark.parametrize(("run", "word"), [("train", "false"), ("evaluate", "False"), ("inference", False)])
def test_mixed_precision_is_there_on_a_gpu_and_can_be_switched_off(
    run: str, word: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    engines = ["evaluator"] if run == "inference" else ["train#trainer", "validate#evaluator"]
    for options, meant in (
        ({"device": "cuda"}, True),
        ({"device": "cuda", "amp": word}, False),
        ({"device": "cuda", "amp": "true"}, True),
        ({"device": "cpu"}, False),
    ):
        checked(*RUNS[run], **options)
        parser = ConfigParser(ConfigParser.load_config_files([str(CONFIGS / file) for file in RUNS[run]]))
        parser.update(options)
        assert [parser.get_parsed_content(f"{engine}#amp") for engine in engines] == [meant] * len(engines)


@pytest.mark.parametrize("options", [{"amp": "true"}, {"amp": True}, {"amp": True, "device": "cpu"}])
def test_mixed_precision_without_a_gpu_is_refused(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "device" in options)
    assert "--amp true asks for mixed precision, which MONAI's engines have on CUDA only" in refusal(**options)


@pytest.mark.parametrize("word", ["bfloat16", 1, "$1 > 0"])
def test_mixed_precision_takes_no_other_word(word: Any) -> None:
    assert f"--amp must be true or false, got {word!r}" in refusal(amp=word)


def test_outside_of_a_run_there_is_nothing_to_check() -> None:
    check_config(["pytest", "--typo", "3"])
    check_config([])


@pytest.mark.parametrize("name", ["train.json", "inference.json"])
def test_every_run_begins_with_the_check(name: str) -> None:
    """After errors were made plain and damage was looked for, before anything is built. evaluate.json lies over train.json."""
    steps = ConfigParser.load_config_file(str(CONFIGS / name))["initialize"]
    targets = [step.get("_target_") if isinstance(step, dict) else step for step in steps[:3]]
    assert targets == [
        "scripts.run.plain_errors.show_plain_errors",
        "scripts.packages.require_undamaged",
        "scripts.run.check_config.check_config",
    ]
    assert "initialize" not in ConfigParser.load_config_file(str(CONFIGS / "evaluate.json"))
