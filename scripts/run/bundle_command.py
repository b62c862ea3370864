"""Config files and options -> `python -m monai.bundle run ...`: its words, the line for a shell, the run in this process.

`python -m scripts.run.bundle_command WORDS` is that run in a process of its own.
"""

import json
import logging
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fire.parser import DefaultParseValue

from .config_files import BUNDLE_ROOT
from .paths import EVALUATED, PATHS
from .plain_errors import show_plain_errors

MISREAD = re.compile(r"#|[@%]::")  # and it takes these for parts of ids in any other string
IDENTIFIER = re.compile(r"\w+((#|::)\w+)*")
WORDS = {"True": True, "False": False, "None": None}  # Python's, beside JSON's


def bundle_words(run_id: str, configs: Sequence[Path], options: Mapping[str, Any], processes: int = 1) -> list[str]:
    """The words after `python`, which run in any folder.

    options: values by id, as a config file has them. A Path, and a string that does not begin with $, @ or %, arrives as it is,
    whatever it looks like. Several processes are started by torchrun.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    pairs = {"bundle_root": BUNDLE_ROOT, **options}.items()
    return [
        *(*launcher, "-m", "monai.bundle", "run", run_id),
        *("--config_file", repr([str(path) for path in configs])),
        *(word for identifier, value in pairs for word in (f"--{identifier}", fire_word(value))),
    ]


def shell_line(words: Sequence[str]) -> str:
    """`python WORDS`, ready to be pasted into a shell."""
    return " ".join(["python", *map(in_shell, words)])


def run_here(words: Sequence[str]) -> None:
    """Does in this process what `python WORDS` would do, but for MONAI's words about words; the first word is -m.

    Raises ValueError for config files that cannot be read or merged: MONAI does so first, in its own way, and the bundle has no
    say before.
    """
    from .command_line import read_command_line  # imports MONAI, which a line that is only shown does not wait for

    module, *arguments = words[1:]
    read_command_line(words[words.index("monai.bundle") :])
    warnings.filterwarnings("ignore", "parsing config_file")  # that configs can run code, at length
    logging.getLogger("monai.bundle.workflows").addFilter(lambda record: record.levelno > logging.WARNING)  # where they lie
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__")
    except Exception as error:
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        if isinstance(error, ChildFailedError):  # the process that failed has said why
            raise SystemExit(1) from error
        raise


def read_setting(text: str) -> tuple[str, Any]:
    """`ID=VALUE` -> both. The value is JSON (2, 1e-4, true, null, [96, 96]), or a string as it stands; a path always is one.

    Raises ValueError for what is not of this form.
    """
    identifier, equals, value = text.partition("=")
    if not equals or not value or not IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"must be ID=VALUE, such as batch_size=4, got {text!r}")
    if identifier in PATHS and not value.startswith('"'):
        return identifier, value
    if value in WORDS:
        return identifier, WORDS[value]
    try:
        return identifier, json.loads(value, parse_constant=_refuse)
    except ValueError as error:
        if value.startswith(("[", "{")):
            raise ValueError(f'{identifier}: lists and dictionaries are JSON, such as ["image", "label"]; {error}') from error
        return identifier, value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def fire_word(value: Any) -> str:
    """How fire must be given a value: it reads Python literals, and where there is none the word itself."""
    if value is None:
        return "$None"  # MONAI omits an option that is None
    if isinstance(value, Path) or (isinstance(value, str) and not value.startswith(EVALUATED)):
        value = _as_it_is(str(value))
    if isinstance(value, str) and value.isprintable() and not value.startswith("-") and _read_by_fire(value) == value:
        return value
    return repr(value)


def _as_it_is(text: str) -> str:
    """What MONAI reads as `text`: itself, or an expression that spells the signs which it would misread."""
    if not text.startswith(EVALUATED) and not MISREAD.search(text):
        return text
    return "$" + re.sub("[#@%]", lambda sign: f"\\x{ord(sign[0]):x}", repr(text))


def _read_by_fire(word: str) -> Any:
    try:
        return DefaultParseValue(word)
    except (TypeError, RecursionError, MemoryError):  # {[]: 1}, and thousands of brackets
        return None


def in_shell(word: str) -> str:
    """In double quotes where single ones would be harder to read."""
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)


if __name__ == "__main__":
    show_plain_errors()
    run_here(sys.argv[1:])
