"""A training run -> a run in MLflow: its settings, the metrics of every epoch, its network."""

import logging
import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ignite.engine import Engine
from monai.engines import Evaluator
from monai.handlers import MLFlowHandler
from monai.utils import is_scalar, path_to_uri

from ..run.settings import Changes, chosen
from .run_folder import BEST

logger = logging.getLogger(__name__)

# What a resumed run must have in common with the first part of it; MLflow takes no other value for a parameter.
FIXED = (Changes.NETWORK, Changes.MASK, Changes.TRAINING)


def require_mlflow() -> None:
    """Called before anything is read.

    Raises:
        ModuleNotFoundError: with the command that installs it.

    Example:
        >>> import sys
        >>> from unittest.mock import patch
        >>> from scripts.handlers import require_mlflow
        >>> with patch.dict(sys.modules, mlflow=None):
        ...     require_mlflow()
        Traceback (most recent call last):
            ...
        ModuleNotFoundError: tracking by MLflow needs the package mlflow, which is not installed; pip install ...
    """
    if find_spec("mlflow") is None:
        raise ModuleNotFoundError(
            "tracking by MLflow needs the package mlflow, which is not installed; pip install 'sam3d-bundle[mlflow]', or leave "
            "out --tracking mlflow"
        )


class MLflowRun(MLFlowHandler):
    """MONAI's handler for the trainer and the evaluator of one run, which is called by its output folder.

    Parameters are the settings that are plain values; all settings are the artefact `settings.json`, and at the end `model.pt`
    is one too. The metrics of an epoch are logged once it is saved, if this is attached after what saves: a resumed run goes on
    in the same curves, without an epoch twice.

    A store that cannot be reached in the beginning ends the run. Later it costs the metrics of an epoch, and a warning.

    Args:
        tracking_uri: of the store, such as `sqlite:////home/me/mlruns.db` or `https://mlflow.example.org`. The environment
            variable MLFLOW_TRACKING_URI overrules it.
        output_dir: of the run.
        evaluator: whose metrics are logged beside those of the trainer.
        settings: of the run.
        experiment: to which the run belongs.

    Raises:
        ConnectionError: if the store cannot be opened, here or when the engine starts.

    Example:
        >>> from scripts.handlers import MLflowRun
        >>> MLflowRun("./mlruns", "runs/mine", None, {})
        Traceback (most recent call last):
            ...
        ConnectionError: MLflow's store ./mlruns cannot be used (...); correct ...
    """

    def __init__(
        self,
        tracking_uri: str,
        output_dir: str | Path,
        evaluator: Evaluator,
        settings: Mapping[str, Any],
        experiment: str = "sam3d",
    ) -> None:
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri
        self.evaluator = evaluator
        self.settings = settings
        self._open(
            super().__init__,
            tracking_uri=tracking_uri,
            iteration_log=False,
            experiment_name=experiment,
            run_name=str(Path(output_dir).absolute()),
            experiment_param=_parameters(settings),
            artifacts=[Path(output_dir) / BEST],
            close_on_complete=True,
            artifact_location=_artefacts_of(self.uri),
        )

    def start(self, engine: Engine) -> None:
        self._open(super().start, engine)
        self._open(self._log_settings)

    def epoch_completed(self, engine: Engine) -> None:
        metrics = dict(engine.state.metrics)
        if self.evaluator.state.epoch == engine.state.epoch:  # else they are those of an earlier epoch
            metrics |= self.evaluator.state.metrics
        numbers = {_name(key): float(value) for key, value in metrics.items() if is_scalar(value)}
        self._try(self._log_metrics, numbers, step=engine.state.epoch)

    def complete(self) -> None:
        self._try(super().complete)

    def close(self) -> None:
        self._try(super().close)

    def _log_settings(self) -> None:
        assert self.cur_run is not None
        self.client.log_dict(self.cur_run.info.run_id, dict(self.settings), "settings.json")

    def _open(self, work: Callable[..., Any], *words: Any, **options: Any) -> None:
        try:
            work(*words, **options)
        except Exception as error:  # of MLflow, its database and the network
            raise ConnectionError(
                f"MLflow's store {self.uri} cannot be used ({type(error).__name__}: {_first_line(error)}); correct "
                "tracking_uri or MLFLOW_TRACKING_URI, or leave out --tracking mlflow"
            ) from error

    def _try(self, work: Callable[..., Any], *words: Any, **options: Any) -> None:
        try:
            work(*words, **options)
        except Exception as error:  # hours of training are worth more
            logger.warning("MLflow's store %s did not take what was logged: %s", self.uri, _first_line(error))


def _artefacts_of(uri: str) -> str | None:
    """The folder mlruns beside a database; of a server None. MONAI would do so too, but takes a %20 for part of the path."""
    _, is_file, path = uri.partition("sqlite:///")
    return path_to_uri(Path(unquote(path)).parent / "mlruns") if is_file else None


def _parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are no components and no expressions."""
    plain = {key: value for key, value in chosen(settings, *FIXED).items() if not re.search(r"_target_|^[$@%]", str(value))}
    return {_name(key): value for key, value in plain.items()}


def _name(key: str) -> str:
    """As MLflow allows it."""
    return re.sub(r"[^\w\-. :/]", "_", key, flags=re.ASCII)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
