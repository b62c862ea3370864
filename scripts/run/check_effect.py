"""The options of a run -> a sentence about the one that changes nothing in it."""

from monai.bundle import ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.bundle.utils import ID_SEP_KEY

from .command_line import CommandLine
from .config_walk import walk
from .settings import Changes, changed_by

# What is meant where an option has no effect in a run.
MEANT = {
    ("training", "checkpoint"): "a run goes on by --resume true, and a new one starts from its weights by --init_from",
    ("training", "input"): "its cases are those of --dataset_dir",
    ("evaluating", "input"): "its cases are those of --dataset_dir",
    ("inference", "dataset_dir"): "--input says what is segmented",
    ("inference", "resume"): "the same command again makes the masks that are missing",
    **dict.fromkeys(
        ((run, "encoder_weights") for run in ("training", "evaluating", "inference")),
        "this network has no encoder, leave it out",
    ),
}
RECORDS = "records"  # of what a mask is made from; what is noted there alone has no effect


def check_effect(line: CommandLine, run_files: list[str]) -> None:
    """A preset serves all runs; what stands on the command line is meant for this one. Raises ValueError where it is not used.

    run_files: those of the files that are a run's own.
    """
    own = ConfigParser(ConfigParser.load_config_files(run_files))
    used = used_by(line.run_id, ConfigParser(line.config))
    for option, value in line.options.items():
        identifier = option.lstrip("+").replace("::", "#")
        written = "training" in used and changed_by(identifier) is Changes.FIGURES and identifier in own
        if not (
            written or any(f"{key}#".startswith(f"{identifier}#") or f"{identifier}#".startswith(f"{key}#") for key in used)
        ):
            meant = MEANT.get((line.run_id, identifier), "leave it out")
            raise ValueError(f"--{option} has no effect in this run; {meant}")
        if "#" in identifier and isinstance(value, str) and value.lower() in ("true", "false"):
            raise ValueError(f"--{option} {value} would be the word {value!r}, which counts as true; write {value.title()}")


def used_by(run_id: str, parser: ConfigParser) -> set[str]:
    """The ids that a run refers to, and those that these refer to, and so on."""
    found: set[str] = set()
    # Embeddings are cached for a training run, with its options.
    waiting = ["imports", "initialize", run_id, "finalize", *(["training"] if run_id == "caching" else [])]
    while waiting:
        identifier = waiting.pop()
        if identifier not in found and identifier in parser:
            found.add(identifier)
            for _, node in walk(parser[identifier]) if identifier != RECORDS else ():
                references = ReferenceResolver.match_refs_pattern(node) if isinstance(node, str) else ()
                waiting += [reference.replace(ID_SEP_KEY, "#") for reference in references]
    return found
