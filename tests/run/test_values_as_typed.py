"""A path typed for `python -m monai.bundle run` reaches the run as it was typed, or is refused; never as another one."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import pytest
from conftest import ROOT
from monai.bundle import ConfigParser, scripts
from ugly_words import UGLY

from scripts.run.plain_errors import plain_sentence
from scripts.run.settings import read_settings

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")  # MONAI's, of every config
SHOWN = "dict(input=@input, output_dir=@output_dir, below=@output_dir + '/masks', labels=@labels, checkpoint=@checkpoint)"
NOT_FOR_FIRE = "{[]: 1}"  # which it raises for, before anything of the bundle is there
AS_THEY_ARE = [text for text in UGLY if text.strip() and not text.startswith(("$", "@", "%", "~")) and text != NOT_FOR_FIRE]
Run = Callable[..., dict[str, Any]]


def short(text: str) -> str:
    return ascii(text)[:30]


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """What the parts of a run are given, by id; in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which a run replaces
    step = f"$monai.bundle.ConfigParser.export_config_file({SHOWN}, 'seen.json')"
    (tmp_path / "show.json").write_text(json.dumps({"show": [step]}))

    def run(*words: str, files: tuple[str, ...] = ()) -> dict[str, Any]:
        configs = repr([str(ROOT / "configs" / "inference.json"), "show.json", *files])
        typed = ["monai.bundle", "run", "show", "--config_file", configs, "--bundle_root", str(ROOT), *words]
        monkeypatch.setattr(sys, "argv", [*typed, "--logging_file", "False"])
        fire.Fire({"run": scripts.run}, command=sys.argv[1:])
        return json.loads((tmp_path / "seen.json").read_text())

    return run


@pytest.fixture
def refused(seen: Run) -> Callable[..., str]:
    """The sentence that a user is shown."""

    def run(*words: str, files: tuple[str, ...] = ()) -> str:
        with pytest.raises(Exception) as caught:  # MONAI wraps it
            seen(*words, files=files)
        sentence = plain_sentence(caught.value)
        assert sentence is not None
        return sentence

    return run


@pytest.mark.parametrize("text", AS_THEY_ARE, ids=short)
def test_a_path_is_the_one_that_was_typed(seen: Run, text: str) -> None:
    values = seen(f"--input={text}", f"--output_dir={text}")
    assert (values["input"], values["output_dir"], values["below"]) == (text, text, f"{text}/masks")
    assert read_settings(sys.argv)["labels"] == values["labels"]


@pytest.mark.parametrize("text", ["2024-03-01", "scans#2", "1e5", "True", "None", "a,b", "-3"])
def test_a_path_may_follow_its_option_as_a_word_of_its_own(seen: Run, text: str) -> None:
    assert seen("--input", text)["input"] == text


@pytest.mark.parametrize("text", AS_THEY_ARE, ids=short)
def test_each_checkpoint_of_a_list_is_the_one_that_was_typed(seen: Run, text: str) -> None:
    assert seen(f"--checkpoint={[text, 'b.pt']!r}")["checkpoint"] == [text, "b.pt"]


def test_a_checkpoint_whose_name_has_brackets_is_no_list(seen: Run, tmp_path: Path) -> None:
    assert seen("--checkpoint", "[a, b]")["checkpoint"] == ["a", "b"]
    (tmp_path / "[a, b]").touch()
    assert seen("--checkpoint", "[a, b]")["checkpoint"] == "[a, b]"
    assert seen("--output_dir", "[a]")["output_dir"] == "[a]"


@pytest.mark.parametrize(("typed", "meant"), [("'1e5'", "1e5"), ('"scans#2"', "scans#2"), ("'a b'", "a b")])
def test_quotes_for_fire_are_no_part_of_a_path_unless_there_is_one_of_that_name(
    seen: Run, tmp_path: Path, typed: str, meant: str
) -> None:
    assert seen("--input", typed)["input"] == meant
    (tmp_path / typed).mkdir()
    assert seen("--input", typed)["input"] == typed


def test_a_path_of_another_folder_is_never_taken(seen: Run, tmp_path: Path) -> None:
    for name in ("scans", "scans#2"):
        (tmp_path / name).mkdir()
    assert seen("--input", "scans#2")["input"] == "scans#2"


def test_the_users_folder_is_meant_by_a_tilde(seen: Run, refused: Callable[..., str], tmp_path: Path) -> None:
    home = str(Path.home())
    assert seen("--output_dir", "~/masks")["output_dir"] == f"{home}/masks"
    assert seen("--input", "~")["input"] == home
    (tmp_path / "mine.yaml").write_text("output_dir: ~/masks\n")
    assert seen("--input", "x", files=("mine.yaml",))["output_dir"] == f"{home}/masks"
    said = refused("--output_dir", "~nobody_of_this_name/x")
    assert said == (
        "output_dir: ~nobody_of_this_name/x begins with a user whom this machine does not know; if it is a path, write "
        "./~nobody_of_this_name/x"
    )
    (tmp_path / "~scan.nii").touch()
    assert seen("--input", "~scan.nii")["input"] == "~scan.nii"


@pytest.mark.parametrize("words", [["--input", ""], ["--input="], ["--output_dir", " "], ["--output_dir", "''"]])
def test_an_empty_path_is_refused(refused: Callable[..., str], words: list[str]) -> None:
    assert "a path must not be empty; is a variable of the shell not set?" in refused(*words)


@pytest.mark.parametrize("words", [["--input"], ["--input", "--output_dir", "x"], ["--input", "-x"]])
def test_an_option_without_its_path_is_refused(refused: Callable[..., str], words: list[str]) -> None:
    assert refused(*words) == "--input must be followed by a path; one that begins with - is given as --input=PATH"


def test_a_word_of_no_option_ends_the_run_in_a_sentence(seen: Run, tmp_path: Path) -> None:
    """Of `--output_dir my masks` without quotes MONAI takes the second word for the id of the first steps."""
    (tmp_path / "show.json").write_text(json.dumps({"show": "%inference"}))
    with pytest.raises(SystemExit, match="ERROR: the word masks belongs to no option; put a value with spaces in quotes"):
        seen("--input", "nowhere", "--output_dir", "my", "masks")
    assert not (tmp_path / "my").exists()


@pytest.mark.parametrize(
    ("file", "run"), [("train.json", "training"), ("evaluate.json", "evaluating"), ("overlays/cached.yaml", "caching")]
)
def test_every_run_begins_with_its_settings_which_no_misread_word_can_pass_over(file: str, run: str) -> None:
    assert ConfigParser.load_config_file(str(ROOT / "configs" / file))[run][0] == "$@settings"


@pytest.mark.parametrize("value", ["$x", "$1 +", "$[i]", "@x"])
def test_an_expression_that_is_none_is_refused_with_the_path_that_works(refused: Callable[..., str], value: str) -> None:
    said = refused("--output_dir", value)
    assert f"--output_dir {value} is no expression that can be run" in said
    assert said.endswith(f"if it is a path, write ./{value}")


def test_an_expression_that_is_one_is_run(seen: Run) -> None:
    assert seen("--output_dir", "$'/data/' + @input", "--input", "x")["output_dir"] == "/data/x"


@pytest.mark.parametrize(("text", "meant"), [("2024-03-01", "2024-03-01"), ("'1e5'", "1e5"), ("scans#2", "scans#2")])
def test_a_path_in_a_file_is_as_yaml_has_it(seen: Run, tmp_path: Path, text: str, meant: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"output_dir: {text}\n")
    assert seen(files=("mine.yaml",))["output_dir"] == meant


@pytest.mark.parametrize("text", ["7", "1.5", "[a, b]", "true", "2024-03-01 10:00:00"])
def test_what_yaml_takes_for_something_else_is_refused(refused: Callable[..., str], tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"output_dir: {text}\n")
    assert "mine.yaml: output_dir must be a path, in quotes where it looks like a number" in refused(files=("mine.yaml",))


def test_a_labels_name_is_as_it_was_written(seen: Run, tmp_path: Path) -> None:
    """MONAI replaces every #."""
    (tmp_path / "mine.yaml").write_text('labels: {"0": background, "1": "lesion #1", "2": "lesion #2"}\n')
    assert seen(files=("mine.yaml",))["labels"] == {"0": "background", "1": "lesion #1", "2": "lesion #2"}
    assert read_settings(sys.argv)["labels"]["1"] == "lesion #1"


@pytest.mark.parametrize("word", ["vit_b#1", "'vit#b'", "a#b"])
def test_another_word_that_would_be_misread_is_refused_with_the_quoting_that_works(
    refused: Callable[..., str], word: str
) -> None:
    assert f"--encoder_variant {word} would be read as something else; write --encoder_variant " in refused(
        "--encoder_variant", word
    )
