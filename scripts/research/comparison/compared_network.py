"""One network of a comparison -> its training and its evaluation, or those of each fold, in a folder of its own.

Whatever is done stays done.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...files.atomic_write import write_json
from ...files.file_digest import file_digest
from ...run.bundle_command import bundle_words
from ...run.command_line import read_command_line
from ...run.config_files import CONFIGS, network_configs, read_config, short_name
from ...run.fold_folders import fold_folder
from .budget import Budget, Options, probe_options, read_pace
from .bundle_process import run_bundle

TRAINING_ONLY = {"cached.yaml"}  # validation and evaluation run the whole network


@dataclass(frozen=True)
class Setting:
    """What all networks of a comparison share."""

    output_dir: Path
    preset: Path
    budget: Budget
    options: Options  # of training and evaluating; `folds` is one of them
    last_configs: tuple[Path, ...] = ()  # after the preset
    shared: Mapping[str, Path] = field(default_factory=dict)  # of training: what one network finds out for all

    @property
    def folds(self) -> int | None:
        return self.options.get("folds")


@dataclass(frozen=True)
class Run:
    """The network's only training run, or that of a fold. options: which of them it is."""

    training: Path
    evaluation: Path
    finished: Path
    options: Options = field(default_factory=dict)

    @classmethod
    def of_fold(cls, folder: Path, fold: int) -> "Run":
        """Where `sam3d train --folds` has them."""
        training = fold_folder(folder, fold)
        evaluation = training / "evaluation"
        return cls(training, evaluation, evaluation / "finished", {"fold": fold})


class ComparedNetwork:
    """Its folder: request.json (the command), plan.json (options of its training runs), log.txt; training and evaluation,
    or fold_0, fold_1 and so on.
    """

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = short_name(name)
        self.setting = setting
        self.configs = network_configs(name)
        self.folder = setting.output_dir / self.name
        self.runs = [Run(self.folder / "training", self.folder / "evaluation", self.folder / "finished")]
        if setting.folds is not None:
            self.runs = [Run.of_fold(self.folder, fold) for fold in range(setting.folds)]
        self.log = self.folder / "log.txt"

    @cached_property
    def request(self) -> dict[str, Any]:
        """All that the command says, config files with the sha256 of their contents."""
        pace = [self.setting.budget.pace] if self.setting.budget.pace else []
        configs = dict.fromkeys([*self._training_configs(), *self._evaluating_configs(), *pace])
        return {
            "budget": str(self.setting.budget),
            **{str(path): file_digest(path) for path in configs},
            **{f"--{key}": str(value) for key, value in self.setting.options.items()},
        }

    def require_the_same_request(self) -> None:
        """Raises ValueError where the folder holds weights that another command trained, and for an unknown pace."""
        if self.setting.budget.pace is not None:
            read_pace(self.setting.budget.pace, self.name)
        if (different := self._different()) and self._has_trained():
            raise ValueError(
                f"{self.folder} holds a run of another command (different: {', '.join(different)}); remove that folder, or "
                "choose another --output"
            )

    def _has_trained(self) -> bool:
        """In folds or not: it may have been asked for otherwise."""
        return any(path.parent != self._probe_folder for path in self.folder.glob("*/last.pt"))

    def _different(self) -> list[str]:
        """In what the request that the folder holds, if it holds one, is not ours."""
        path = self.folder / "request.json"
        saved = json.loads(path.read_text()) if path.exists() else self.request
        return sorted(key for key in saved.keys() | self.request.keys() if saved.get(key) != self.request.get(key))

    @property
    def is_finished(self) -> bool:
        return all(run.finished.exists() for run in self.runs)

    def metrics(self) -> Path:
        """The metrics.csv of all cases, once it is finished."""
        if self.setting.folds is None:
            return self.runs[0].evaluation / "metrics.csv"
        from ...tools.join_evaluations import join_evaluations

        evaluations = {run.options["fold"]: run.evaluation for run in self.runs}
        join_evaluations(self.folder, evaluations, [run.training / "model.pt" for run in self.runs])
        return self.folder / "metrics.csv"

    def labels(self) -> dict[str, str]:
        """Value -> name, of all the networks."""
        line = read_command_line(bundle_words("training", self._training_configs(), self.setting.options)[1:])
        assert line is not None
        return line.config["labels"]

    def run(self, say: Callable[[str], None]) -> None:
        """Does what is not done yet. Raises RuntimeError with the reason of a command that failed."""
        if self._different():
            shutil.rmtree(self.folder)  # it came to nothing, else it would have been refused
        write_json(self.folder / "request.json", self.request)
        for run in self.runs:
            if not run.finished.exists():
                self._finish(run, say)

    def _finish(self, run: Run, say: Callable[[str], None]) -> None:
        name = f"{run.training.name}: " if run.options else ""
        if not (run.training / "model.pt").exists():  # it is written once, at the end of the last epoch
            plan = self._plan(say)
            resume = (run.training / "last.pt").exists()
            say(f"{name}{'training goes on' if resume else 'training'}, {plan['max_epochs']} epochs")
            self._train(run.training, {**plan, **run.options}, resume=resume)
        say(f"{name}evaluating")
        checkpoint = {"checkpoint": run.training / "model.pt", "output_dir": run.evaluation}
        self._run("evaluating", self._evaluating_configs(), {**checkpoint, **run.options})
        run.finished.touch()

    def _plan(self, say: Callable[[str], None]) -> Options:
        """The options of the training runs; what the probe found is kept, since a run is resumed with the same ones only."""
        path = self.folder / "plan.json"
        if not path.exists():
            budget, probe, preparation = self.setting.budget, None, 0.0
            if budget.minutes is not None:
                say("a few steps, to measure their pace")
                probe = self._probe(probe_options())
                preparation = probe["preparation_seconds"]
                if steps := budget.longer_probe(probe):
                    probe = self._probe(probe_options(steps))
            write_json(path, {"options": budget.options(probe, self.name), "preparation_seconds": preparation})
        return json.loads(path.read_text())["options"]

    def _probe(self, options: Options) -> dict[str, Any]:
        """Its cost.json."""
        folder = self._probe_folder
        shutil.rmtree(folder, ignore_errors=True)
        self._train(folder, {**options, **self.runs[0].options}, resume=False)
        cost = json.loads((folder / "cost.json").read_text())
        shutil.rmtree(folder)
        return cost

    @property
    def _probe_folder(self) -> Path:
        return self.folder / "probe"

    def _train(self, folder: Path, plan: Options, resume: bool) -> None:
        options = {**plan, "cases#remember": self.setting.shared["remember"], "output_dir": folder, "resume": resume}
        if any(path.name == "cached.yaml" for path in self.configs):
            options["cache_dir"] = self.setting.shared["cache_dir"]
        self._run("training", self._training_configs(), options)

    def _run(self, run_id: str, configs: Sequence[Path], options: Options) -> None:
        """The setting's options in a file, as of a preset: those of training alone would be refused on a command line."""
        there = ids_of(configs)
        shared = {key: str(v) if isinstance(v, Path) else v for key, v in self.setting.options.items() if root(key) in there}
        path = self.folder / "options.json"
        write_json(path, shared)
        run_bundle(bundle_words(run_id, [*configs, path], options), self.log)

    def has(self, option: str) -> bool:
        """Whether it means something for this network: `cached_views` does for those with +cached alone."""
        return root(option) in ids_of(self._training_configs())

    def _training_configs(self) -> list[Path]:
        parts = [CONFIGS / "train.json", *self.configs, CONFIGS / "research" / "overlays" / "cost.yaml"]
        return [*parts, self.setting.preset, *self.setting.last_configs]

    def _evaluating_configs(self) -> list[Path]:
        parts = [path for path in self.configs if path.name not in TRAINING_ONLY]
        return [CONFIGS / "train.json", CONFIGS / "evaluate.json", *parts, self.setting.preset, *self.setting.last_configs]


def root(identifier: str) -> str:
    """`train` of `+train#handlers`."""
    return identifier.lstrip("+").partition("#")[0]


def ids_of(configs: Sequence[Path]) -> set[str]:
    """All at the top of these files."""
    return {root(identifier) for path in configs for identifier in read_config(path)}
