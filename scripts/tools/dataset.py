"""A folder of images and labels, named in any of the usual ways -> its dataset.json.

    python -m scripts.tools.dataset DATA
    python -m scripts.tools.dataset DATA/scans --labels DATA/masks --label_names "1=liver,7=tumour"

Understands imagesTr and labelsTr, nnU-Net's NAME_0000, folders of images and of labels, NAME_seg beside NAME, a folder for each
case, and BIDS. All problems are listed at once; then nothing is written and the exit code is 1.
"""

import argparse
import os
import re
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from scripts.data.cases.datalist import read_json
from scripts.data.onboarding.describe_dataset import MADE_BY, describe_dataset
from scripts.data.onboarding.find_cases import FoundCases, find_cases
from scripts.data.onboarding.label_names import modalities_of, name_values, names_of, values_in
from scripts.files.atomic_write import write_json

KEPT = "dataset_original.json"
RARE = 0.1  # of the label files: a value in fewer may be a mistake


def main() -> None:
    options = parse_options()
    try:
        write_dataset(options)
    except (ValueError, OSError) as error:
        sys.exit(f"{error}\nnothing was written")


def write_dataset(options: argparse.Namespace) -> None:
    root = root_of(options.folder, options.labels, options.output_dir)
    known = existing(root, options.overwrite)
    found = find_cases(options.folder, options.labels, root, options.channels)
    values, damaged = values_in([case.label for case in found.cases if case.label])
    if problems := found.problems + damaged:
        raise ValueError("\n".join([*map(str, problems), f"{len(problems)} problem{'s' * (len(problems) > 1)}"]))
    labels = name_values(set().union(*values.values()), {**names_of(known), **options.label_names})
    modalities = modality_names(found, modalities_of(known))
    content = describe_dataset(root, found.cases, labels, modalities, options.val_fraction, options.seed, options.subject)
    write(root / "dataset.json", content)
    report(root, content, found, values)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tools.dataset", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=existing_folder, help="is searched through")
    parser.add_argument("--labels", type=existing_folder, help="where the labels are, if not in FOLDER")
    parser.add_argument("--output_dir", type=existing_folder, help="FOLDER, or the parent of both; it must hold all files")
    parser.add_argument("--val_fraction", type=float, default=0.2, help="of the subjects")
    parser.add_argument("--seed", type=int, default=0, help="which subjects")
    parser.add_argument(
        "--subject", type=regular_expression, metavar="REGEX", help="its first group in an image's path is the subject"
    )
    parser.add_argument("--label_names", type=label_names, default={}, help='such as "1=liver,7=tumour"')
    parser.add_argument("--channels", type=comma_separated, default=[], help="images of a case to use, such as T1w,FLAIR")
    parser.add_argument("--overwrite", action="store_true", help=f"replace dataset.json; one of other origin becomes {KEPT}")
    return parser.parse_args()


def existing_folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"no folder {text}")
    return Path(os.path.abspath(text))


def regular_expression(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text} is no regular expression: {error}") from error
    if not groups:
        raise argparse.ArgumentTypeError(rf"{text} has no group; put the subject in parentheses, such as (patient\d+)")
    return text


def comma_separated(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def label_names(text: str) -> dict[int, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(value.strip().isdecimal() and name.strip() for value, _, name in pairs):
        raise argparse.ArgumentTypeError(f'names must be given as "1=liver,7=tumour", got "{text}"')
    return {int(value): name.strip() for value, _, name in pairs}


def root_of(folder: Path, labels: Path | None, output_dir: Path | None) -> Path:
    """Where dataset.json goes: all its files lie below, so that the folder can be moved."""
    common = Path(os.path.commonpath([folder, labels or folder]))
    root = output_dir or common
    if root == Path(root.anchor) or not common.is_relative_to(root):
        raise ValueError(
            f"dataset.json must lie in a folder that holds all images and labels, not in {root}; put them into one folder"
        )
    return root


def existing(root: Path, overwrite: bool) -> dict[str, Any]:
    """The dataset.json that is there already: its names are taken over."""
    path = root / "dataset.json"
    if not path.exists():
        return {}
    content = read_json(path)
    foreign = content.get("description") != MADE_BY
    if not overwrite:
        kept = f" (it stays as {KEPT}; its names are taken over)" if foreign else ""
        raise ValueError(f"{path} is there already; give --overwrite to replace it{kept}")
    if foreign and (root / KEPT).exists():
        raise ValueError(f"{path} was not written by this tool and {KEPT} is there too; move one of them away")
    return content


def modality_names(found: FoundCases, known: list[str]) -> list[str]:
    if known and len(found.channels) in (1, len(known)):  # one file may hold several channels
        return known
    return [name if name.strip("0123456789") else "unknown" for name in found.channels]


def write(path: Path, content: dict[str, Any]) -> None:
    if path.exists() and read_json(path).get("description") != MADE_BY:
        path.rename(path.with_name(KEPT))
    write_json(path, content)


def report(root: Path, content: dict[str, Any], found: FoundCases, values: dict[Path, set[int]]) -> None:
    for part in ("training", "validation"):
        print(f"{part:10}  {len(content[part]):5} cases of {len({case['subject'] for case in content[part]}):5} subjects")
    unlabelled = [path for case in found.cases if not case.label for path in case.images]
    print(f"{'test':10}  {len(content['test']):5} cases{_listed(', images without a label', unlabelled)}")
    print(f"labels      {', '.join(f'{value} {name}' for value, name in content['labels'].items())}")
    for value in content["labels"]:
        holders = [path for path, inside in values.items() if int(value) in inside]
        if 0 < len(holders) <= RARE * len(values):
            where = f"stands in {len(holders)} of {len(values)} label files alone"
            print(f"IN DOUBT    the value {value} {where}{_listed('', holders)}; is it a slip of the pen?")
    print(f"modalities  {', '.join(content['modality'].values())}")
    ((subject, most),) = Counter(case["subject"] for case in content["training"]).most_common(1)
    example = f"{subject}, for example, has {most} cases" if most > 1 else "each case is taken for a subject of its own"
    print(f"subjects    {example}; if that is wrong, say by --subject what names a subject")
    empty = [path for path, inside in values.items() if inside == {0}]
    for what, files in (("are of no case and left out", found.left_out), ("show no structure; training refuses them", empty)):
        if files:
            print(f"{len(files)} files {_listed(what, files)}")
    print(f"wrote {root / 'dataset.json'}\nnext: python -m scripts.tools.preset {shlex.quote(str(root))}")


def _listed(what: str, files: list[Path]) -> str:
    return f"{what}: {', '.join(map(str, files[:5]))}{', ...' if len(files) > 5 else ''}" if files else ""


if __name__ == "__main__":
    main()
