"""One network of a comparison -> its training and its evaluation, in a folder of its own; whatever is done stays done."""

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
from ...run.config_files import CONFIGS, network_configs, read_config, short_name
from .budget import Budget, Options, probe_options, read_pace
from .bundle_process import run_bundle

TRAINING_ONLY = {"cached.yaml"}  # validation and evaluation run the whole network


@dataclass(frozen=True)
class Setting:
    """What all networks of a comparison share."""

    output_dir: Path
    preset: Path
    budget: Budget
    options: Options  # of training and evaluating
    last_configs: tuple[Path, ...] = ()  # after the preset
    shared: Mapping[str, Path] = field(default_factory=dict)  # of training: what one network finds out for all


class ComparedNetwork:
    """Its folder: request.json (the command), plan.json (options of its training run), training, evaluation, log.txt."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = short_name(name)
        self.setting = setting
        self.configs = network_configs(name)
        self.folder = setting.output_dir / self.name
        self.training = self.folder / "training"
        self.evaluation = self.folder / "evaluation"
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
        if (different := self._different()) and (self.training / "last.pt").exists():
            raise ValueError(
                f"{self.folder} holds a run of another command (different: {', '.join(different)}); remove that folder, or "
                "choose another --output"
            )

    def _different(self) -> list[str]:
        """In what the request that the folder holds, if it holds one, is not ours."""
        path = self.folder / "request.json"
        saved = json.loads(path.read_text()) if path.exists() else self.request
        return sorted(key for key in saved.keys() | self.request.keys() if saved.get(key) != self.request.get(key))

    @property
    def is_finished(self) -> bool:
        return (self.folder / "finished").exists()

    def run(self, say: Callable[[str], None]) -> None:
        """Does what is not done yet. Raises RuntimeError with the reason of a command that failed."""
        if self._different():
            shutil.rmtree(self.folder)  # it came to nothing, else it would have been refused
        write_json(self.folder / "request.json", self.request)
        if not (self.training / "model.pt").exists():  # it is written once, at the end of the last epoch
            plan = self._plan(say)
            resume = (self.training / "last.pt").exists()
            say(f"{'training goes on' if resume else 'training'}, {plan['max_epochs']} epochs")
            self._train(self.training, plan, resume=resume)
        say("evaluating")
        checkpoint = {"checkpoint": self.training / "model.pt", "output_dir": self.evaluation}
        self._run("evaluating", self._evaluating_configs(), checkpoint)
        (self.folder / "finished").touch()

    def _plan(self, say: Callable[[str], None]) -> Options:
        """The options of the training run; what the probe found is kept, since a run is resumed with the same ones only."""
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
        folder = self.folder / "probe"
        shutil.rmtree(folder, ignore_errors=True)
        self._train(folder, options, resume=False)
        cost = json.loads((folder / "cost.json").read_text())
        shutil.rmtree(folder)
        return cost

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
