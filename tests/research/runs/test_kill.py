"""kill -9: what has its final name can be read, and the next run ends as if nothing had happened."""

import itertools
import json
import random
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from faults.conftest import Start, assert_whole, ended

from scripts.research.kill_study import kill_study


def test_a_training_killed_at_any_moment_leaves_whole_files_and_ends_as_one_that_was_left_alone(tmp_path: Path) -> None:
    """Twenty kills, the last two by repeating the command; 200 are a command of their own."""
    kill_study(tmp_path, kills=18)
    table = kill_study(tmp_path, kills=20)
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    kills = [event for event in events if "kill" in event]
    assert [kill["kill"] for kill in kills] == list(range(1, 21))
    assert [kill["unreadable"] for kill in kills] == [[]] * 20
    assert any(kill["cut_short"] for kill in kills), "no kill met a file that was being written"
    complete = [event["complete"] for event in events if "complete" in event]
    assert complete == [["last.pt", "model.pt"]] * len(complete) != []
    killed = sum("complete" in event and "kill" in before for before, event in itertools.pairwise(events))
    assert killed
    assert f"| 20 | 10 | 10 | {sum(bool(kill['cut_short']) for kill in kills)} | 0 | {killed} | {killed} |" in table
    assert kill_study(tmp_path, kills=20) == table, "a study that is done is not repeated"
    assert (tmp_path / "progress.jsonl").read_text().splitlines() == lines


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_inference_after_kills_gives_what_an_undisturbed_one_gives(
    start: Start, left_alone: Path, phantoms: Path, tmp_path: Path, kills: int
) -> None:
    options = {"input": phantoms / "images", "checkpoint": left_alone / "model.pt"}
    assert ended(start("inference", tmp_path / "whole", **options)) == 0
    generator = random.Random(0)
    for _ in range(kills):
        process = start("inference", tmp_path / "killed", **options)
        process.join(generator.uniform(0.2, 1.5))
        process.kill()
        ended(process)
        assert_whole(tmp_path / "killed")
    assert ended(start("inference", tmp_path / "killed", **options)) == 0
    whole, killed = ({path.name: path for path in (tmp_path / name).glob("[!.]*")} for name in ("whole", "killed"))
    assert killed.keys() == whole.keys()
    report = killed["report.json"].read_text().replace(str(tmp_path / "killed"), str(tmp_path / "whole"))
    assert report == whole["report.json"].read_text()
    for name in (name for name in whole if name.endswith(".nii.gz")):
        mask, expected = nib.load(killed[name]), nib.load(whole[name])
        np.testing.assert_array_equal(np.asanyarray(mask.dataobj), np.asanyarray(expected.dataobj))
        np.testing.assert_array_equal(mask.affine, expected.affine)
