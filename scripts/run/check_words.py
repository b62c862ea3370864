"""The words and files of a run -> a sentence about what fire, MONAI or YAML would read as something else."""

import os
import warnings

from monai.bundle import ConfigParser

from .bundle_command import MISREAD, fire_word, in_shell
from .command_line import NOT_SETTINGS, CommandLine
from .paths import EVALUATED, PATHS


def check_words(line: CommandLine) -> None:
    """Raises ValueError with the quoting that works."""
    for identifier in PATHS:
        value = line.config.get(identifier)
        if not (isinstance(value, str) and value.startswith(EVALUATED)):
            continue
        if os.path.lexists(value):
            raise ValueError(f"--{identifier} {value} would be run as an expression; it is a path: write ./{value}")
        if identifier in line.words:
            try:
                ConfigParser(dict(line.config)).get_parsed_content(identifier)
            except Exception as error:
                raise ValueError(
                    f"--{identifier} {value} is no expression that can be run ({error}); if it is a path, write ./{value}"
                ) from error
    for identifier, word in line.words.items():
        value = line.options.get(identifier)
        if word == "None" and identifier not in (*PATHS, *NOT_SETTINGS):
            raise ValueError(f"--{identifier} None would be passed over; leave it out, or write --{identifier} '$None'")
        if identifier in PATHS or not isinstance(value, str):
            continue
        meant = value if word[:1] in ("'", '"') else word
        if meant != value or (not value.startswith(EVALUATED) and MISREAD.search(value)):
            raise ValueError(
                f"--{identifier} {word} would be read as something else; write --{identifier} {in_shell(fire_word(meant))}"
            )


def check_files(line: CommandLine) -> None:
    """Raises ValueError for two equal keys, of which the second would win."""
    for file in line.files:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Duplicate key")
            try:
                ConfigParser.load_config_file(file)
            except UserWarning as warning:
                raise ValueError(
                    f"{file}: a key may stand once ({str(warning)[0].lower()}{str(warning)[1:]}); remove one"
                ) from warning
