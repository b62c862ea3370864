"""What is wrong with the files of a configuration is said in a sentence that names the file and the entry."""

from pathlib import Path

import pytest
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.run.check_config import check_config
from scripts.run.merge_configs import merge_configs, replace_macros
from scripts.run.plain_errors import plain_sentence

TRAIN = str(ROOT / "configs" / "train.json")
FILES = {  # what is wrong with a file, and how it is said
    "": "FILE must hold ids and their values",
    "- a": "FILE must hold ids and their values",
    "a: *b": "FILE cannot be read: found undefined alias 'b'",
    "a:\n\tb: 1": "FILE cannot be read: while scanning",
    "5: 7": "FILE: 5 is no text, which the id of a setting must be",
    "nothing#a#b: 1": "FILE: nothing#a#b leads to no place of the configuration",
    "loss#loss#x#y: 1": "FILE: loss#loss#x#y leads to no place of the configuration",
    "roi_depth#x: 1": "FILE: roi_depth#x leads to no place of the configuration",
    "+roi_depth: [1]": "FILE: +roi_depth can be added to nothing",
    "seed: '%sed'": "FILE: seed copies %sed, which is no id of the configs",
    "loss#loss: {_target_: DiceLoss, sigmoid: '%nothing'}": "FILE: loss#loss#sigmoid copies %nothing",
    "seed: '%none.yaml::x'": "no config file none.yaml; correct its path",
    "seed: '@sed'": "FILE: seed refers to @sed, which is no id of the configs",
    "seed: $1 +": "FILE: seed is no expression of Python, $1 + (invalid syntax)",
    "my_steps: ['$print(']": "FILE: my_steps#0 is no expression of Python, $print(",
    "seed: '@batch_size'\nbatch_size: '@seed'": "'seed' refers to itself: seed to batch_size to seed",
    "+initialize: ['$@nothing']": "FILE: initialize#5 refers to @nothing, which is no id of the configs",
}


def refusal(files: list[str], *words: str) -> str:
    with pytest.raises(ValueError) as caught:
        check_config(["monai.bundle", "run", "training", "--config_file", repr(files), *words])
    sentence = plain_sentence(caught.value)
    assert len(sentence.splitlines()) == 1
    return sentence


@pytest.mark.parametrize("content", FILES)
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text(content)
    assert refusal([TRAIN, str(file)]).startswith(FILES[content].replace("FILE", str(file)))


def test_a_file_that_is_not_there_or_no_json_is_named(tmp_path: Path) -> None:
    assert refusal([TRAIN, f"{tmp_path}/none.yaml"]) == f"no config file {tmp_path}/none.yaml; correct its path"
    (tmp_path / "bad.json").write_text('{"seed": 5,}')
    assert refusal([TRAIN, f"{tmp_path}/bad.json"]).startswith(f"{tmp_path}/bad.json cannot be read: ")


def test_an_option_that_leads_to_no_place_is_named() -> None:
    assert refusal([TRAIN], "--nothing#a", "1").startswith("--nothing#a leads to no place of the configuration")


def test_files_are_merged_as_monai_merges_them() -> None:
    names = ("train.json", "evaluate.json", "research/networks/unet.yaml", "overlays/multi_gpu.yaml", "datasets/acdc.yaml")
    files = [str(ROOT / "configs" / name) for name in names]
    options = {"roi_depth": 7, "loss#loss": {"_target_": "DiceLoss"}, "validate::inferer": "%inferer"}
    theirs = ConfigParser()
    theirs.read_config(files)
    theirs.update(options)
    theirs.resolve_macro_and_relative_ids()
    ours, said_by = merge_configs(files, options)
    replace_macros(ours, said_by)
    assert {"_meta_": {}, **ours.get()} == theirs.get()
