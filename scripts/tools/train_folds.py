"""A training command and a number of folds -> each fold trained and evaluated in a folder of its own, and one table.

Whatever is done stays done: the same command makes what is missing.
"""

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import typer

from ..run.bundle_command import shell_line
from ..run.fold_folders import CHECKPOINT, ENSEMBLE, FOLDS_FILE, fold_folder
from .join_evaluations import PAGE, join_evaluations, refuse_foreign_evaluation
from .run_bundle import run_child, say_next, shown

RUNNER = ("-m", "scripts.run.bundle_command")
ERROR = 1  # exit code; another one is that of a signal
Line = Callable[[Mapping[str, Any]], list[str]]


@dataclass(frozen=True)
class FoldRun:
    """line: options beside those of the command -> the words of a training run. evaluating: those of `sam3d evaluate`."""

    number: int
    folder: Path
    line: Line
    evaluating: Sequence[str]

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation"

    def training(self, resume: bool = False) -> list[str]:
        return self.line({"fold": self.number, "output_dir": self.folder, "resume": resume or None})

    def is_trained(self) -> bool | None:
        """None before the first epoch. Raises ValueError where the folder holds a run of other settings."""
        from ..files.checkpoint_file import read_about, read_checkpoint
        from ..handlers.run_folder import LAST, require_the_same
        from ..run.settings import read_settings

        path = self.folder / LAST
        if not path.exists():
            return None
        require_the_same(read_about(path) or {}, read_settings(_arguments(self.training())), path)
        return bool(read_checkpoint(path)["complete"])

    def is_finished(self, cases: int, skip_bad: bool) -> bool:
        """cases: that its evaluation measures, but for those that are skipped."""
        measured = self.measured()
        return bool(self.is_trained()) and measured is not None and (measured >= cases or skip_bad)

    def measured(self) -> int | None:
        """How many cases its evaluation has measured; None before there is one."""
        path = self.evaluation / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else None


def train_folds(
    data: Path,
    output: Path,
    count: int,
    only: int | None,
    resume: bool,
    skip_bad: bool,
    line: Line,
    weights: Sequence[str | Path],
    evaluating: Sequence[str],
    dry_run: bool,
) -> None:
    """Runs what is missing, of fold `only` if it is given, and joins the evaluations once all are there.

    weights: the option that names the encoder's, for all commands on the checkpoints; evaluating: further ones of
    `sam3d evaluate`. Raises typer.Exit where a fold failed: after the others, or at once for a reason that they share.
    """
    everyone = [_fold_run(data, output, number, line, [*map(str, weights), *evaluating]) for number in range(count)]
    runs = everyone if only is None else [everyone[only]]
    if dry_run:
        for run in runs:
            print(shell_line(run.training(resume)), f"sam3d {shlex.join(run.evaluating)}", sep="\n")
        return
    cases = _prepare(data, output, count, resume, runs[0])
    _require_free(runs, resume)
    failures: list[str] = []
    took: list[float] = []  # seconds, of those that were run now
    for position, run in enumerate(runs):
        name = f"\nfold_{run.number} ({run.number + 1} of {count})"
        if run.is_finished(len(cases[run.number]), skip_bad):
            print(f"{name}: finished", flush=True)
            continue
        left = f", about {timedelta(seconds=round(fmean(took) * (len(runs) - position)))} left" if took else ""
        print(name + left, flush=True)
        start = time.monotonic()
        if failure := _run(run, skip_bad):
            failures.append(failure.said)
            if failure.shared and run is not runs[-1]:
                failures.append("the other folds were not tried: they have the same cases, network and options")
                break
        took.append(time.monotonic() - start)
    if _join(output, everyone, sum(map(len, cases))):
        _say_next(data, ["--checkpoint", output, *weights], output)
    if failures:
        print("", *failures, sep="\n")
        raise typer.Exit(1)


def _fold_run(data: Path, output: Path, number: int, line: Line, evaluating: Sequence[str]) -> FoldRun:
    folder = fold_folder(output, number)
    return FoldRun(number, folder, line, ["evaluate", str(data), "--checkpoint", str(folder / CHECKPOINT), *evaluating])


def _arguments(words: Sequence[str]) -> Sequence[str]:
    """`sys.argv` of a run, also where torchrun starts it."""
    return words[words.index("monai.bundle") :]


def _prepare(data: Path, output: Path, count: int, resume: bool, first: FoldRun) -> list[list[str]]:
    """What would be refused in each fold is refused once, and folds.json is there. The cases of each fold."""
    from ..data.cases.folds_file import write_folds
    from ..handlers.run_folder import check_run_folder
    from ..run.check_config import check_config
    from ..run.command_line import read_command_line

    check_config(_arguments(first.training()))
    check_run_folder(output, resume=False)  # a run of its own may lie there
    refuse_foreign_evaluation(output)
    if resume and not (output / FOLDS_FILE).exists():
        raise FileNotFoundError(f"nothing to resume: no {output / FOLDS_FILE}; start without --resume, or correct --output")
    line = read_command_line(_arguments(first.training()))
    assert line is not None
    if not isinstance(seed := line.config["seed"], int):  # an expression, which only a run evaluates
        raise ValueError(f"seed must be a number in a run of folds, got {seed!r}")
    return write_folds(output / FOLDS_FILE, data, count, seed, line.config["labels"])


def _require_free(runs: Sequence[FoldRun], resume: bool) -> None:
    """Before hours have passed. Raises ValueError for other settings, FileExistsError for what only --resume goes on with."""
    interrupted = [run.folder for run in runs if run.is_trained() is False]
    if interrupted and not resume:
        raise FileExistsError(
            f"{interrupted[0]} holds a training run that was interrupted; go on with it by --resume, or choose another output "
            "folder"
        )


class Failure(NamedTuple):
    """said: in words. shared: whether the other folds would fail in the same way."""

    said: str
    shared: bool = False


def _run(run: FoldRun, skip_bad: bool) -> Failure | None:
    """Trains what is not trained, then evaluates. What failed.

    Up to the first epoch all folds do the same with the same files, but for what lies in a fold's folder.
    """
    from ..files.folder_lock import require_unlocked
    from ..handlers.run_folder import check_run_folder

    trained = run.is_trained()
    if not trained:
        words = run.training(resume=trained is not None)
        print(shell_line(words), flush=True)
        try:
            check_run_folder(run.folder, resume=trained is not None)
            require_unlocked(run.folder)
        except (OSError, RuntimeError, ValueError) as error:
            return Failure(f"fold_{run.number} failed: {error}")
        if code := run_child([*RUNNER, *words]):
            said = f"fold_{run.number} failed: its training run ended with exit code {code}, for the reason above"
            return Failure(said, shared=code == ERROR and run.is_trained() is None)
    print(f"sam3d {shlex.join(run.evaluating)}", flush=True)
    code = run_child(["-m", "scripts", *run.evaluating])
    if run.measured() is None or (code and not skip_bad):
        return Failure(f"fold_{run.number} failed: its evaluation ended with exit code {code}, for the reason above")
    return None


def _join(output: Path, runs: Sequence[FoldRun], cases: int) -> bool:
    """Whether all folds are there. cases: of all folds. Raises ValueError where one was trained with other settings."""
    missing = [f"fold_{run.number}" for run in runs if not run.is_trained() or run.measured() is None]
    if missing:
        print(f"\nthe evaluations are joined once that of {', '.join(missing)} is there too")
        return False
    checkpoints = [run.folder / CHECKPOINT for run in runs]
    summary = join_evaluations(output, {run.number: run.evaluation for run in runs}, checkpoints)
    interval = summary["mean_dice_interval"]
    mean = "undefined, no class is there" if summary["mean_dice"] is None else f"{summary['mean_dice']:.4f}"
    shown_interval = f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
    print(f"\nmean Dice {mean}{shown_interval} over {summary['cases']} cases, each held out of the network that segmented it")
    if (omitted := cases - summary["cases"]) > 0:
        print(f"{omitted} cases are not among them: see report.json in the folders `evaluation`")
    print(f"means: {shown(output / 'metrics.json')}\nof each case and class: {shown(output / 'metrics.csv')}")
    if (page := output / PAGE).is_file():
        print(f"report: {shown(page)}")
    return True


def _say_next(data: Path, ensemble: Sequence[str | Path], output: Path) -> None:
    """ensemble: the options that name it."""
    commands: list[Sequence[str | Path]] = [("segment", data / "dataset.json", *ensemble, "--output", "masks")]
    if json.loads((data / "dataset.json").read_text(encoding="utf-8-sig")).get("validation"):  # which no fold holds
        commands.insert(0, ("calibrate", output / ENSEMBLE))
        commands.insert(0, ("evaluate", data, *ensemble, "--output", output / ENSEMBLE))
    say_next(("calibrate", output), *commands)
