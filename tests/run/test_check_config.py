"""What means nothing in a run's configuration is said before any work, in a sentence; what means something passes."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.run.check_config import check_config
from scripts.run.plain_errors import plain_sentence

CONFIGS = ROOT / "configs"
RUNS = {"train": ("train.json",), "evaluate": ("train.json", "evaluate.json"), "inference": ("inference.json",)}
RUN_IDS = {"evaluate.json": "evaluating", "inference.json": "inference"}
PRESETS = sorted(path.relative_to(CONFIGS).as_posix() for path in (CONFIGS / "datasets").glob("*.yaml"))
NETWORKS = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("networks/*.yaml"))
OVERLAYS = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("overlays/*.yaml"))
ONLY_TRAIN = ("cached", "cost", "multi_gpu", "joint_dice", "two_stage")
SERVES = {**dict.fromkeys(ONLY_TRAIN, "train"), "dicom_seg": "inference", "rollout": "inference"}  # the others: all runs
OVER = {
    "dca": "research/networks/unet.yaml",
    "skip_control": "research/networks/unet.yaml",
    "rollout": "research/networks/transunet.yaml",
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
@pytest.mark.parametrize("names", [(), *((name,) for name in PRESETS), *itertools.product(NETWORKS, PRESETS)], ids=str)
def test_every_preset_and_network_passes_in_every_run(run: str, names: tuple[str, ...]) -> None:
    checked(*RUNS[run], *names)


@pytest.mark.parametrize(
    ("run", "overlay"),
    [(run, overlay) for run in RUNS for overlay in OVERLAYS if SERVES.get(Path(overlay).stem, run) == run],
)
def test_every_overlay_passes_where_it_is_documented(run: str, overlay: str) -> None:
    files = [*RUNS[run], *filter(None, [OVER.get(Path(overlay).stem)]), overlay]
    checked(*files)
    checked(*files, "datasets/hippocampus.yaml")


def test_the_overlays_of_one_training_pass_together() -> None:
    overlays = {Path(overlay).stem: overlay for overlay in OVERLAYS}
    together = [overlay for name, overlay in overlays.items() if SERVES.get(name, "train") == "train" and name not in OVER]
    checked("train.json", *together, "datasets/custom.yaml")


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
    checked("train.json", preset(tmp_path, "my_depth: 8\nroi_depth: '@my_depth'\nmy_steps: ['$print(1)']\n"))


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
        ({"roi_depth": "@roi_dept"}, "'roi_depth' refers to @roi_dept, which is no id of the configs"),
        ({"spatial_size": "$[@plane, @plane]"}, "'spatial_size' refers to @plane"),
        ({"train#dataloader#batch_size": "@batchsize"}, "did you mean batch_size"),
        ({"train#trainer#network": "@train#nothing"}, "'train#trainer#network' refers to @train#nothing"),
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
        ("val_fraction", "0,2", "a number between 0 and 1, got (0, 2)"),
        ("seed", "now", "a whole number from 0 to 4294967295, got 'now'"),
    ],
)
def test_a_word_in_place_of_a_number_is_refused(name: str, word: str, said: str) -> None:
    assert f"--{name} must be {said}" in refusal(**{name: word})


def test_what_yaml_takes_for_a_word_is_refused_with_the_spelling_that_works(tmp_path: Path) -> None:
    said = refusal("train.json", preset(tmp_path, "learning_rate: 1e-4\n"))
    assert f"{tmp_path}/preset.yaml: learning_rate must be a number above 0, got '1e-4' (in YAML, write 1e-4 as 1.0e-4)" in said


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
    """After errors have been made plain, and before anything is built or written. evaluate.json lies over train.json."""
    steps = ConfigParser.load_config_file(str(CONFIGS / name))["initialize"]
    targets = [step.get("_target_") if isinstance(step, dict) else step for step in steps[:2]]
    assert targets == ["scripts.run.plain_errors.show_plain_errors", "scripts.run.check_config.check_config"]
    assert "initialize" not in ConfigParser.load_config_file(str(CONFIGS / "evaluate.json"))
