"""`sam3d train --folds` as a user runs it: every case held out once, one cache, one table, however often it is interrupted."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from runs.conftest import NARROW_CONFIG
from typer.main import get_command

from scripts.__main__ import app
from scripts.data.phantoms import LABELS, write_phantoms
from scripts.files.checkpoint_file import read_about, write_checkpoint
from scripts.run.settings import CALIBRATED

from .conftest import Shell, Typed

VIEWS = 3
OPTIONS = "--preset mine --cached --folds 2 --max-epochs 1"


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data` of 5 + 3 phantoms, and the preset `mine`."""
    folder = tmp_path_factory.mktemp("folds")
    write_phantoms(folder / "data", {"training": 5, "validation": 3}, shape=(32, 28, 12))
    (folder / "mine.yaml").write_text(NARROW_CONFIG.read_text())
    return folder


@pytest.fixture(scope="module")
def run(own_folder: Path, warm: Shell) -> subprocess.CompletedProcess[str]:
    return warm(f"sam3d train data {OPTIONS} --output run", cwd=own_folder)


def held_out(folder: Path) -> list[list[str]]:
    """Names of the cases of each fold."""
    folds = json.loads((folder / "folds.json").read_text())["folds"]
    return [[Path(case).name.removesuffix(".nii.gz") for case in fold["cases"]] for fold in folds]


def images(report: Path) -> list[str]:
    return sorted(Path(entry["file"]).name.removesuffix(".nii.gz") for entry in json.loads(report.read_text()))


def weights(folder: Path) -> list[bytes]:
    return [(folder / f"fold_{fold}" / "model.pt").read_bytes() for fold in range(2)]


def test_each_case_is_held_out_once_and_measured_by_the_network_that_has_not_seen_it(
    run: subprocess.CompletedProcess[str], own_folder: Path
) -> None:
    folder = own_folder / "run"
    every = [f"phantom_{i:03d}" for i in range(5)]  # the others are of the list `validation`
    assert sorted(name for names in held_out(folder) for name in names) == every
    for fold, names in enumerate(held_out(folder)):
        about = read_about(folder / f"fold_{fold}" / "model.pt")
        assert about is not None
        assert (about["folds"], about["fold"]) == (2, fold)
        assert images(folder / f"fold_{fold}" / "evaluation" / "report.json") == names
        assert images(folder / f"fold_{fold}" / "report.json") == every
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["case"], int(row["fold"])) for row in rows}
    assert found == {(name, fold) for fold, names in enumerate(held_out(folder)) for name in names}
    means = json.loads((folder / "metrics.json").read_text())
    assert means["cases"] == 5
    assert [fold["cases"] for fold in means["folds"]] == [len(names) for names in held_out(folder)]
    assert run.stdout.splitlines()[-3:] == [
        "    sam3d evaluate data --checkpoint run --output run/ensemble",
        "    sam3d calibrate run/ensemble",
        "    sam3d segment data/dataset.json --checkpoint run --output masks",
    ]
    assert re.search(r"^fold_1 \(2 of 2\), about 0:\d\d:\d\d left$", run.stdout, re.MULTILINE)


def test_one_page_and_one_table_of_confusion_show_all_cases(run: subprocess.CompletedProcess[str], own_folder: Path) -> None:
    folder = own_folder / "run"
    assert "\nreport: run/report.html\n" in run.stdout
    page = (folder / "report.html").read_text()
    assert f"<title>Evaluation of {own_folder.name}/run " in page
    shown = set(re.findall(r'aria-label="show (phantom_\d+) in the viewer"', page))
    assert shown == {name for names in held_out(folder) for name in names}  # of up to six cases all
    assert "Each case was segmented by the network of its fold" in page
    assert "Could not be shown" not in page
    evaluations = [folder / f"fold_{fold}" / "evaluation" for fold in range(2)]
    of_folds, joined = [confusion(path) for path in evaluations], confusion(folder)
    for name, row in joined.items():
        assert row == {other: sum(table[name][other] for table in of_folds) for other in row}


def confusion(folder: Path) -> dict[str, dict[str, int]]:
    with (folder / "confusion.csv").open(newline="") as file:
        return {row.pop("reference"): {name: int(voxels) for name, voxels in row.items()} for row in csv.DictReader(file)}


def test_what_is_learnt_of_the_ensemble_stays_with_it_whatever_is_learnt_of_its_folds_and_is_in_their_package(
    run: subprocess.CompletedProcess[str], own_folder: Path, warm: Shell, tmp_path: Path
) -> None:
    folder = shutil.copytree(own_folder / "run", tmp_path / "run", ignore=shutil.ignore_patterns("embeddings", "events"))
    data = own_folder / "data"
    warm(f"sam3d evaluate {data} --checkpoint run", cwd=tmp_path)
    warm("sam3d calibrate run/ensemble", cwd=tmp_path)
    warm("sam3d calibrate run", cwd=tmp_path)  # the files are no longer those that were evaluated, the weights are
    learnt = json.loads((folder / "ensemble.json").read_text())
    of_folds = read_about(folder / "fold_0" / "model.pt")
    assert of_folds is not None
    assert learnt["calibration"]["told_by"] != of_folds["calibration"]["told_by"]
    said = warm("sam3d package run --output mine_bundle", cwd=tmp_path)
    assert "in doubt" not in said.stdout + said.stderr
    for name, checkpoint in {"here": "run", "packed": "mine_bundle"}.items():
        line = f"sam3d segment {data}/images/phantom_006.nii.gz --checkpoint {checkpoint} --output {name} --probabilities"
        assert "in doubt" not in warm(line, cwd=tmp_path).stderr
        preset = json.loads((tmp_path / name / "preset.json").read_text())
        assert {key: preset[key] for key in CALIBRATED} == {key: learnt[key] for key in CALIBRATED}
    volumes = sorted(path.name for path in (tmp_path / "here").glob("*.nii.gz"))
    assert len(volumes) == 1 + len(LABELS)
    for name in volumes:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "packed" / name).read_bytes()
    here, packed = ((tmp_path / name / "quality.csv").read_text() for name in ("here", "packed"))
    assert here.replace(f"{tmp_path}/here", f"{tmp_path}/packed") == packed
    config = json.loads((tmp_path / "mine_bundle" / "configs" / "inference.json").read_text())
    assert {key: config[key] for key in CALIBRATED} == {key: learnt[key] for key in CALIBRATED}
    measured = json.loads((tmp_path / "mine_bundle" / "docs" / "metrics.json").read_text())
    assert measured == json.loads((folder / "ensemble" / "metrics.json").read_text())
    card = (tmp_path / "mine_bundle" / "docs" / "README.md").read_text()
    assert "Measured on 3 cases by `sam3d evaluate`: the ensemble, on cases that none of its networks was trained on." in card


def test_the_encoder_runs_once_for_each_case_and_view_of_all_folds(
    run: subprocess.CompletedProcess[str], own_folder: Path
) -> None:
    computed = [int(number) for number in re.findall(r"(\d+) embeddings computed", run.stdout + run.stderr)]
    assert len(computed) == 2
    assert sum(computed) == len(list((own_folder / "run" / "embeddings").iterdir())) == 5 * VIEWS
    assert not (own_folder / "run" / "fold_0" / "embeddings").exists()


def test_the_same_command_again_only_joins_and_other_settings_are_refused(
    run: subprocess.CompletedProcess[str], own_folder: Path, warm: Shell
) -> None:
    folder = own_folder / "run"
    before = weights(folder), (folder / "metrics.csv").read_bytes()
    (folder / "metrics.csv").unlink()
    again = warm(f"sam3d train data {OPTIONS} --output run", cwd=own_folder)
    assert "fold_0 (1 of 2): finished\n\nfold_1 (2 of 2): finished\n" in again.stdout
    assert "monai.bundle" not in again.stdout
    assert (weights(folder), (folder / "metrics.csv").read_bytes()) == before
    other = warm(f"sam3d train data {OPTIONS} --output run --set batch_size=1", cwd=own_folder, code=1)
    assert "fold_0/last.pt belongs to a training run with other settings: batch_size was 2, now it is 1" in other.stderr
    more = warm(f"sam3d train data {OPTIONS.replace('2', '3', 1)} --output run", cwd=own_folder, code=1)
    assert "says which cases each fold holds out, and this run has others: folds was 2, now it is 3" in more.stderr


def test_a_slip_is_said_once_and_leaves_nothing(own_folder: Path, warm: Shell) -> None:
    failed = warm(f"sam3d train data {OPTIONS} --output slip --set max_epoch=1", cwd=own_folder, code=1)
    assert failed.stderr.count("'max_epoch' is no option of this bundle") == 1
    assert not (own_folder / "slip").exists()
    failed = warm(f"sam3d train data {OPTIONS} --output slip --resume", cwd=own_folder, code=1)
    assert f"nothing to resume: no {own_folder}/slip/folds.json" in failed.stderr


def test_what_fails_before_the_first_epoch_stops_the_other_folds(
    own_folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have the same cases, network and options; what lies in a fold's own folder costs that fold alone."""
    monkeypatch.chdir(own_folder)
    tried: list[str] = []
    monkeypatch.setattr("scripts.tools.train_folds.run_child", lambda words: tried.append(words[-1]) or 1)
    words = ["train", "data", *OPTIONS.split(), "--output", "shared"]
    with pytest.raises(SystemExit) as ended:
        get_command(app)(words, prog_name="sam3d")
    assert ended.value.code == 1
    assert len(tried) == 1
    said = capsys.readouterr().out
    assert "fold_0 failed: its training run ended with exit code 1" in said
    assert "the other folds were not tried" in said
    (own_folder / "shared" / "fold_0" / "report.json").mkdir(parents=True)
    tried.clear()
    with pytest.raises(SystemExit):
        get_command(app)(words, prog_name="sam3d")
    assert len(tried) == 1  # fold_1
    assert "fold_0/report.json must be a file" in capsys.readouterr().out


def test_a_dry_run_prints_each_line(own_folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_folder)
    words = ["train", "data", *OPTIONS.split(), "--output", "dry", "--encoder-weights", "random", "--set", "num_workers=0"]
    lines = typed(*words, "--dry-run").splitlines()
    for fold, (training, evaluating) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        for part in (f"--output_dir {own_folder}/dry/fold_{fold} ", f"--cache_dir {own_folder}/dry/embeddings ", "--folds 2 "):
            assert part in training
        assert f" --fold {fold} " in training
        checkpoint = f"{own_folder}/dry/fold_{fold}/model.pt"
        assert evaluating == f"sam3d evaluate {own_folder}/data --checkpoint {checkpoint} --set num_workers=0"
    assert len(lines) == 4
    assert typed(*words, "--fold", "1", "--dry-run").splitlines() == lines[2:]
    assert not (own_folder / "dry").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--fold", "1"], "it goes with --folds"), (["--folds", "2", "--fold", "2"], "folds are counted from 0 to 1")],
)
def test_a_fold_that_is_none_is_refused(own_folder: Path, typed: Typed, words: list[str], said: str) -> None:
    assert said in typed("train", own_folder / "data", "--preset", own_folder / "mine.yaml", *words, fails=True)


def test_checkpoints_are_named_as_a_shell_expands_them_or_by_the_folder_of_their_folds(
    tmp_path: Path, own_folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    about = {"network_def": {"_target_": "scripts.networks.SAM3D"}, "folds": 2, "seed": 0}
    paths = [tmp_path / "run" / f"fold_{fold}" / "model.pt" for fold in range(2)]
    for fold, path in enumerate(paths):
        write_checkpoint(path, {}, {**about, "fold": fold})
    (tmp_path / "run" / "folds.json").write_text(json.dumps({"folds": [{}, {}]}))
    data = str(own_folder / "data")

    def line(*words: str | Path) -> str:
        return typed(*words, "--output", "out", "--dry-run")

    one_by_one = line("segment", data, "--checkpoint", paths[0], "--checkpoint", paths[1])
    assert f"--checkpoint \"['{paths[0]}', '{paths[1]}']\"" in one_by_one
    for words in (
        ["segment", data, "--checkpoint", *paths],
        ["segment", "--checkpoint", *paths, data],
        ["segment", data, f"--checkpoint={paths[0]}", paths[1]],
        ["segment", data, "--checkpoint", "run"],
    ):
        assert line(*words) == one_by_one
    both = line("evaluate", data, "--checkpoint", "run")
    assert "folds" not in json.loads((tmp_path / "out" / "preset.json").read_text())  # they have none in common
    assert line("evaluate", data, "--checkpoint", *paths) == both
    line("evaluate", data, "--checkpoint", paths[1])
    alone = json.loads((tmp_path / "out" / "preset.json").read_text())
    assert (alone["folds"], alone["fold"]) == (2, 1)
    said = typed("segment", data, "--checkpoint", "run/model.pt", fails=True)
    assert "run holds folds; name run for all" in " ".join(said.replace("│", " ").split())
    said = typed("segment", data, "--checkpoint", "run/fold_0", fails=True)
    assert "no folds were trained in it; name its model.pt" in " ".join(said.split())


@pytest.mark.slow
def test_folds_one_by_one_are_those_of_the_whole_command(
    run: subprocess.CompletedProcess[str], own_folder: Path, warm: Shell
) -> None:
    """In the other order, as on a cluster; the last one joins them."""
    first = warm(f"sam3d train data {OPTIONS} --output single --fold 1", cwd=own_folder)
    assert "the evaluations are joined once that of fold_0 is there too" in first.stdout
    assert not (own_folder / "single" / "metrics.json").exists()
    warm(f"sam3d train data {OPTIONS} --output single --fold 0", cwd=own_folder)
    assert weights(own_folder / "single") == weights(own_folder / "run")
    for name in ("folds.json", "metrics.csv", "metrics.json"):
        assert (own_folder / "single" / name).read_bytes() == (own_folder / "run" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_an_interrupted_command_resumes_to_what_it_would_have_been(
    own_folder: Path, environment: dict[str, str], warm: Shell, tmp_path: Path, sent: signal.Signals
) -> None:
    """Sent to all its processes, as a scheduler does, once in an evaluation and once in the second fold."""
    options = OPTIONS.replace("--max-epochs 1", "--max-epochs 30")
    if not (own_folder / "left_alone").exists():
        warm(f"sam3d train data {options} --output left_alone", cwd=own_folder)
    folder = tmp_path / "run"
    line = f"sam3d train {own_folder}/data {options} --output {folder}"
    moments = [folder / "fold_0" / "evaluation" / "preset.json", folder / "fold_1" / "last.pt"]
    for resume, moment in zip(([], ["--resume"]), moments, strict=True):
        words = [sys.executable, "-m", "scripts", *line.split()[1:], *resume]
        words[words.index("mine")] = str(own_folder / "mine.yaml")
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and not moment.exists():
            time.sleep(0.001)
        os.killpg(process.pid, sent)
        process.wait()
        assert process.returncode != 0
    refused = warm(line, cwd=own_folder, code=1)
    assert "fold_1 holds a training run that was interrupted; go on with it by --resume" in refused.stderr
    done = warm(f"{line} --resume", cwd=own_folder)
    assert "fold_0 (1 of 2): finished" in done.stdout
    assert weights(folder) == weights(own_folder / "left_alone")
    assert (folder / "metrics.csv").read_bytes() == (own_folder / "left_alone" / "metrics.csv").read_bytes()


@pytest.mark.slow
def test_a_fold_that_fails_costs_itself(own_folder: Path, warm: Shell) -> None:
    folder = own_folder / "failing"
    (folder / "fold_0" / "report.json").mkdir(parents=True)  # which its training run will not overwrite
    failed = warm(f"sam3d train data {OPTIONS} --output failing", cwd=own_folder, code=1)
    assert failed.stdout.splitlines()[-1].startswith("fold_0 failed: its training run ended with exit code 1")
    assert (folder / "fold_1" / "evaluation" / "metrics.json").exists()
    assert not (folder / "metrics.json").exists()
    shutil.rmtree(folder / "fold_0")
    warm(f"sam3d train data {OPTIONS} --output failing", cwd=own_folder)
    assert json.loads((folder / "metrics.json").read_text())["cases"] == 5
