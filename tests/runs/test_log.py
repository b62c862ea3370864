"""What a user sees of a run: the lines that are due, in their order, and not one more."""

import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from .conftest import Command

# MONAI prints these before the bundle has a say: that configs run code, and that several do not lie in one folder.
BEFORE_THE_BUNDLE = r"UserWarning: parsing config_file |^  workflow = create_workflow\($|WARNING - Not all config files are in "
BAR = r"\d+%\||: 0case \["
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
PACE = r"\d+\.\d s an epoch, \d+:\d\d:\d\d left"
MEASURES = ("dice", "hd95_mm", "hd95_voxels", "assd_mm", "assd_voxels", "nsd", "volume_error_ml")
SCORES = ", ".join(rf"{measure} \S+ \[no interval\]" for measure in MEASURES)  # of two cases
DETECTION = r"\d+ of \d+ components found, \S+ false positives a case"
ENCODER = r"WARNING encoder_weights: random \(seed 0\)\. The slice encoder is NOT pretrained: .*"


def seen(result: CompletedProcess[str]) -> list[str]:
    """Without bars, which overwrite themselves, and without the time that every line of the log begins with."""
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip() and not re.search(BAR, line)]
    assert all(re.match(TIME, line) for line in lines if not re.search(BEFORE_THE_BUNDLE, line)), lines
    return [re.sub(rf"^{TIME} ", "", line) for line in lines if not re.search(BEFORE_THE_BUNDLE, line)]


def assert_lines(result: CompletedProcess[str], due: list[str]) -> None:
    lines = seen(result)
    assert len(lines) == len(due), lines
    for line, pattern in zip(lines, due, strict=True):
        assert re.fullmatch(pattern, line), line


@pytest.fixture(scope="module")
def training(bundle_run: Command, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("log") / "run"
    return bundle_run("training", ["train.json"], dataset_dir=phantoms, output_dir=folder, val_interval=2)


def test_training_has_a_line_for_each_epoch_and_one_for_its_result(training: CompletedProcess[str]) -> None:
    due = [
        ENCODER,
        rf"INFO epoch 1 of 2: train_loss \d\.\d{{4}}; {PACE}",
        rf"INFO epoch 2 of 2: train_loss \d\.\d{{4}}, val_mean_dice 0\.\d{{4}} \(best so far\); {PACE}",
        r"INFO the best network, val_mean_dice 0\.\d{4} in epoch 2: \S+/model\.pt",
    ]
    assert_lines(training, due)


def test_inference_has_a_line_for_the_checkpoint_and_one_for_its_result(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    options = {"input": phantoms / "images", "checkpoint": trained / "model.pt", "output_dir": tmp_path}
    due = [
        ENCODER,
        r"INFO \S+/model\.pt: 17 of 17 tensors loaded, sha256 \w{64}",
        r"INFO \S+/report\.html",
        r"INFO 8 written; \S+/report\.json",
    ]
    assert_lines(bundle_run("inference", ["inference.json"], **options), due)


def test_evaluation_has_a_line_for_every_class(bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path) -> None:
    options = {"dataset_dir": phantoms, "checkpoint": trained / "model.pt", "output_dir": tmp_path}
    due = [
        ENCODER,
        r"INFO \S+/model\.pt: 17 of 17 tensors loaded, sha256 \w{64}",
        *(rf"INFO {name}: {SCORES}, {DETECTION}" for name in ("liver", "kidney", "vessel")),
        r"INFO mean Dice 0\.\d{4} \[no interval\] over 2 cases; \S+",
        r"INFO in brackets: BCa bootstrap over the cases, 95%, 10000 resamples, seed 0; none for fewer than 3 cases, .*",
        r"INFO \S+/report\.html",
        r"INFO 2 written; \S+/report\.json",
    ]
    assert_lines(bundle_run("evaluating", ["train.json", "evaluate.json"], **options), due)


def test_a_refused_image_and_the_end_of_a_run_that_fails_are_seen(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "empty.nii.gz").touch()
    options = {"input": tmp_path / "images", "checkpoint": trained / "model.pt", "output_dir": tmp_path / "masks"}
    lines = seen(bundle_run("inference", ["inference.json"], fails=True, **options))
    assert any(re.match(r"ERROR refused \S+/empty\.nii\.gz: ", line) for line in lines)
    assert lines[-1].startswith("INFO 1 refused; ")


def test_an_error_in_training_is_told_once(bundle_run: Command, phantoms: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = bundle_run("training", ["train.json"], fails=True, dataset_dir=phantoms, output_dir=folder, learning_rate=1e30)
    seen = result.stdout + result.stderr
    [sentence] = re.findall(r"^ERROR: (.+)$", seen, re.MULTILINE)
    assert seen.count(sentence) == 1
    assert "Traceback" not in seen
