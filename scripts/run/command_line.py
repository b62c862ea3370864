"""The words of `python -m monai.bundle run` -> the configuration that MONAI makes of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import fire
from monai.bundle import ConfigParser
from monai.bundle.scripts import update_kwargs

RUN = "run"  # the one of MONAI's bundle commands that runs a configuration
NOT_SETTINGS = {"init_id", "final_id", "meta_file", "logging_file", "tracking"}


class CommandLine(NamedTuple):
    """files: of the configuration, in their order; options: laid over them; config: all merged, before anything is built."""

    files: list[str]
    options: dict[str, Any]
    config: dict[str, Any]


def read_command_line(arguments: Sequence[str]) -> CommandLine | None:
    """None where these are not the words of such a run. arguments: `sys.argv`.

    MONAI hands a component what its config refers to, never the configuration as a whole. So it is read again, by the same
    parsers, macros replaced.
    """
    words = [str(word) for word in arguments]
    given: dict[str, Any] = {}

    def run(run_id: str | None = None, **options: Any) -> None:
        given.update(options)

    if words[1:2] == [RUN]:
        fire.Fire(run, command=words[2:], name=RUN)
    given = update_kwargs(args=given.pop("args_file", None), **given)
    files = given.pop("config_file", None)
    if files is None:
        return None
    parser = ConfigParser()
    parser.read_config(files)
    options = {key: value for key, value in given.items() if key not in NOT_SETTINGS}
    parser.update(options)
    parser.resolve_macro_and_relative_ids()
    return CommandLine([files] if isinstance(files, str) else list(files), options, parser.get())
