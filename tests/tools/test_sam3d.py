"""The command itself: what it lists, completes, suggests and refuses, and how quickly it answers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from scripts.__main__ import COMMANDS, find_command

from .conftest import Shell, Typed

HEAVY = "torch", "monai", "numpy", "nibabel", "matplotlib"


@pytest.mark.parametrize("name", [name for name in COMMANDS if find_command(name)])
def test_the_help_of_every_command_has_an_example(name: str, typed: Typed) -> None:
    assert f"\n      sam3d {name}" in typed(name, "--help")
    assert f"\n  {name} " in typed("-h")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "DATA", "--preset", "x"]])
def test_it_answers_without_importing_what_is_heavy(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom scripts.__main__ import main\n"
        f"sys.argv = ['sam3d', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('imported:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.endswith("imported: []\n"), result.stdout + result.stderr


def test_the_shell_completes_commands_options_and_names(shell: Shell, tmp_path: Path) -> None:
    def completed(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_SAM3D_COMPLETE": "complete_bash"}
        return shell("sam3d", cwd=tmp_path, **words).stdout.split()

    (tmp_path / "mine.yaml").write_text("modalities: 1\n")
    bundled = sorted(path.stem for path in (ROOT / "configs" / "datasets").glob("*.yaml"))
    assert completed("sam3d seg") == ["segment"]
    assert completed("sam3d train DATA --max") == ["--max-epochs"]
    assert completed("sam3d train DATA --preset ") == [*bundled, "mine"]
    assert "two_stage" in completed("sam3d train DATA --overlay t")
    assert completed("sam3d train DATA --network sam") == ["sam3d"]


def test_what_is_not_known_is_answered_with_close_names_and_exit_code_2(warm: Shell, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    (tmp_path / "mine.yaml").write_text("modalities: 1\n")
    for line, words in {
        "sam3d trian": "Did you mean 'train'?",
        "sam3d train . --preset mine --max_epochs 3": "--max-epochs",
        "sam3d train . --preset mime": "'mime' is none of the presets; did you mean mine?",
        "sam3d train . --preset mine --network sam3b": "'sam3b' is none of the networks; did you mean sam3d",
        "sam3d train . --preset mine --overlay cache": "'cache' is none of the overlays; did you mean cached",
        "sam3d train . --preset mine --encoder-weights rndom": "no file rndom",
        "sam3d train . --preset mine --init-from x/model.pt": "no file x/model.pt",
        "sam3d train . --preset mine --output ''": "a path must not be empty",
        "sam3d train . --preset mine --set batch_size": "must be ID=VALUE",
        "sam3d train . --preset mine --set output_dir=x": "output_dir: another option of this command sets it",
        "sam3d train . --preset mine --cache-dir x": "no effect without --cached",
        "sam3d train . --preset mine --gpus 0": "greater than or equal to 1",
        "sam3d train nowhere --preset mine": "no folder nowhere",
        "sam3d train / --preset mine": "no dataset.json in /; write one by: sam3d dataset /",
        "sam3d train .": "Missing option '--preset'",
        "sam3d segment nowhere --checkpoint mine.yaml": "no file or folder nowhere",
        "sam3d segment . --checkpoint x": "no file x",
        "sam3d evaluate . --checkpoint mine.yaml --part tests": "'tests' is not one of",
        "sam3d download --only x": "lists no x, only sam_vit_b_01ec64.pth",
    }.items():
        assert words in " ".join(warm(line, cwd=tmp_path, code=2).stderr.split()), line
    assert {path.name for path in tmp_path.iterdir()} == {"dataset.json", "mine.yaml"}


def test_an_error_is_one_sentence_and_exit_code_1(warm: Shell, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("no JSON")
    error = warm("sam3d preset .", cwd=tmp_path, code=1).stderr
    assert "must be JSON" in error
    assert "Traceback" not in error


def test_an_installation_without_the_configs_is_told_how_to_make_a_right_one(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    result = subprocess.run([sys.executable, "-m", "scripts"], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "pip install --no-deps --editable ." in result.stderr


def test_without_the_laboratory_there_is_no_compare_and_the_others_are_there(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for part in ("scripts", "configs"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("research", "__pycache__"))
    (copy / "scripts" / "research" / "tools" / "__pycache__").mkdir(parents=True)  # as git leaves it
    (tmp_path / "dataset.json").write_text("{}")

    def sam3d(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "scripts", *words], cwd=copy, capture_output=True, text=True)

    listed = sam3d("--help").stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == [name for name in COMMANDS if name != "compare"]
    assert "No such command 'compare'" in sam3d("compare").stderr
    assert f"--bundle_root {copy}" in sam3d("train", tmp_path, "--preset", "phantoms", "--dry-run").stdout
    assert "There are sam3d, detail\n" in sam3d("train", tmp_path, "--preset", "phantoms", "--network", "unet").stderr
