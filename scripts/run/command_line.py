"""The words of `python -m monai.bundle run` -> the configuration that they mean."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, NamedTuple

import fire
from fire.decorators import SetParseFn
from monai.bundle.scripts import update_kwargs

from .config_walk import walk
from .merge_configs import merge_configs, replace_macros
from .paths import EVALUATED, PATHS, SEVERAL, meant_path, path_of_value, path_of_word

RUN = "run"  # the one of MONAI's bundle commands that runs a configuration
NOT_SETTINGS = {"init_id", "final_id", "meta_file", "logging_file", "tracking"}


class CommandLine(NamedTuple):
    """run_id: of what is run. files: of the configuration, in their order. options: laid over them; words: as they were typed.

    config: all merged, before anything is built. as_written: the parts of it that MONAI would misread.
    """

    run_id: str
    files: list[str]
    options: dict[str, Any]
    words: dict[str, str]
    config: dict[str, Any]
    as_written: dict[str, Any]


def read_command_line(arguments: Sequence[str]) -> CommandLine | None:
    """None where these are not the words of such a run. arguments: `sys.argv`.

    MONAI hands a component what its config refers to, never the configuration as a whole. So it is read again, by the same
    parsers, macros replaced. Paths and the names of labels are taken as they were written: fire reads `1e5` as a number and
    cuts `scans#2` at its comment, and MONAI replaces every #.

    Raises ValueError for an option without its path, a path that nobody can mean, and files that cannot be read or merged.
    Exits with a sentence for a word that belongs to no option: MONAI takes it for the id of the first steps, which then are not
    run, and with them no check.
    """
    typed = [str(word) for word in arguments]
    given: dict[str, Any] = {}
    words: dict[str, str] = {}
    surplus: list[str] = []

    def run(run_id: str = RUN, *more: Any, **options: Any) -> None:
        given.update(options, run_id=run_id)

    @SetParseFn(str)
    def run_as_typed(run_id: str = RUN, *more: str, **options: str) -> None:
        words.update(options)
        surplus.extend(more)

    if typed[1:2] == [RUN]:
        fire.Fire(run, command=typed[2:], name=RUN)
        fire.Fire(run_as_typed, command=typed[2:], name=RUN)
    given = update_kwargs(args=given.pop("args_file", None), **given)
    files, run_id = given.pop("config_file", None), str(given.pop("run_id", RUN))
    if files is None:
        return None
    if surplus:
        raise SystemExit(f"ERROR: the word {surplus[0]} belongs to no option; put a value with spaces in quotes")
    options = {key: value for key, value in given.items() if key not in NOT_SETTINGS}
    for key in [key for key in PATHS if key in words]:
        if _has_no_value(key, words[key], typed):
            raise ValueError(f"--{key} must be followed by a path; one that begins with - is given as --{key}=PATH")
        options[key] = path_of_word(words[key], options.get(key), key in SEVERAL)
    files = [files] if isinstance(files, str) else [str(file) for file in files]
    parser, said_by = merge_configs(files, options)
    as_written = dict(_as_written(parser.get()))  # before MONAI rewrites every #
    replace_macros(parser, said_by)
    return CommandLine(run_id, files, options, words, {**parser.get(), **as_written}, as_written)


def _has_no_value(key: str, word: str, typed: Sequence[str]) -> bool:
    """fire reads `--input --x 1` as `--input True --x 1`."""
    return (
        word == "True"
        and f"--{key}=True" not in typed
        and not any(before.lstrip("-") == key and after == "True" for before, after in pairwise(typed))
    )


def _as_written(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of these settings is a path, or names of labels, and no expression."""
    found = {}
    for key in [key for key in PATHS if key in config]:
        value = path_of_value(config[key])
        paths = value if isinstance(value, list) else [value]
        if all(isinstance(path, str) and not path.startswith(EVALUATED) for path in paths):
            try:
                found[key] = [*map(meant_path, paths)] if isinstance(value, list) else meant_path(value)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
    for key in ("labels", "merge_labels"):
        named = config.get(key)
        if isinstance(named, Mapping) and not any(str(node).startswith(EVALUATED) for _, node in walk(dict(named))):
            found[key] = deepcopy(dict(named))
    return found
