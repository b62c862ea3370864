"""`--tracking mlflow`: what is in MLflow after a run, or why there is none."""

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from monai.utils import path_to_sqlite_uri

from scripts.files.checkpoint_file import read_about
from scripts.run.plain_errors import SWITCH

from .conftest import Command

TRACKED = ["train.json", "overlays/mlflow.yaml"]
EXTRA = "mlflow is an extra: pip install 'sam3d-bundle[mlflow]'"
with_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason=EXTRA)


@with_mlflow
def test_settings_metrics_and_the_network_of_a_resumed_run_are_one_run_in_mlflow(
    bundle_run: Command, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    folder = tmp_path / "my run"
    preset = tmp_path / "names.yaml"
    preset.write_text("labels: {'0': background, '1': liver (whole), '2': kidney, '3': vessel}\n")
    options = {"dataset_dir": phantoms, "output_dir": folder, "max_epochs": 3, "val_interval": 2, "num_workers": 1}
    bundle_run("training", [*TRACKED, failing_in_epoch_3(tmp_path)], last=[preset], fails=True, **options)
    bundle_run("training", TRACKED, last=[preset], resume=True, **{**options, "num_workers": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's libraries
        read_back(folder)


def failing_in_epoch_3(folder: Path) -> Path:
    """An overlay; an epoch has two steps."""
    steps = json.loads((ROOT / "configs" / "train.json").read_text())["training"]
    fail = "ignite.engine.Events.ITERATION_COMPLETED(once=5), lambda engine: 1 / 0"
    steps.insert(-1, f"$@train#trainer.add_event_handler({fail})")
    overlay = folder / "fail.json"
    overlay.write_text(json.dumps({"training": steps}))
    return overlay


def read_back(folder: Path) -> None:
    from mlflow import MlflowClient

    client: Any = MlflowClient(path_to_sqlite_uri(folder / "mlruns.db"))
    (run,) = client.search_runs([client.get_experiment_by_name("sam3d").experiment_id])
    assert (run.info.run_name, run.info.status) == (str(folder), "FINISHED")
    found = {key: [metric.step for metric in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics}
    dice = {"val_mean_dice", "val_dice/liver _whole_", "val_dice/kidney", "val_dice/vessel"}
    assert found == {
        **{key: [1, 2, 3] for key in ("train_loss", "learning_rate", "crops_per_second")},
        **{key: [2, 3] for key in dice},
    }
    about = read_about(folder / "model.pt")
    assert about is not None
    parameters = {"max_epochs": "3", "learning_rate": "0.002", "spatial_size": "[32, 32]", "roi_depth": "8", "seed": "0"}
    assert run.data.params.items() >= parameters.items()
    assert "liver (whole)" in run.data.params["labels"]
    assert not any("_target_" in value or value.startswith("$") for value in run.data.params.values())
    artefacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert artefacts == {"settings.json", "model.pt"}
    path = folder / "mlruns" / run.info.run_id / "artifacts"
    assert json.loads((path / "settings.json").read_text()) == about
    assert (path / "model.pt").read_bytes() == (folder / "model.pt").read_bytes()


@with_mlflow
def test_a_store_that_cannot_be_opened_ends_the_run_before_the_first_epoch(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    options = {"dataset_dir": phantoms, "output_dir": tmp_path / "run", "tracking_uri": "sqlite:////dev/null/mlruns.db"}
    error = bundle_run("training", TRACKED, fails=True, **options).stderr.partition("ERROR: ")[2]
    assert error.startswith("MLflow's store sqlite:////dev/null/mlruns.db cannot be used (")
    assert "correct tracking_uri or MLFLOW_TRACKING_URI, or leave out --tracking mlflow" in error
    assert not (tmp_path / "run" / "last.pt").exists()


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="mlflow is installed")
def test_without_the_package_a_run_is_refused_before_any_case_is_read(bundle_run: Command, tmp_path: Path) -> None:
    options = {"dataset_dir": tmp_path / "none", "output_dir": tmp_path / "run"}
    result = bundle_run("training", TRACKED, fails=True, **options)
    assert result.stderr.rstrip().endswith(
        "ERROR: tracking by MLflow needs the package mlflow, which is not installed; pip install 'sam3d-bundle[mlflow]', or "
        f"leave out --tracking mlflow\n(the whole traceback: {SWITCH}=1)"
    )
    assert not (tmp_path / "run").exists()


def test_the_extra_is_the_one_that_the_refusal_names() -> None:
    assert '\nmlflow = ["mlflow>=' in (ROOT / "pyproject.toml").read_text()
