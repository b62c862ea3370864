"""A case: the files of an image, perhaps of its label, and what is known of them."""

from typing import Any, NamedTuple, Required, TypedDict


class Case(TypedDict, total=False):
    """image: a path, or one for each modality.

    label, reference: the path of the labels, for training and for evaluation; the latter stay in the file's own space.
    subject: whose. name: of the mask, below the output folder and without suffix.
    opened: the headers (`data.OpenCase`), read once in a run and handed on.
    """

    image: Required[str | list[str]]
    label: str
    reference: str
    subject: str
    name: str
    opened: Any


class Refused(NamedTuple):
    """A case that cannot be used, and why."""

    case: Case
    error: Exception


class Listed(NamedTuple):
    """The cases of a list that can be used as far as the list itself tells, and the others."""

    cases: list[Case]
    refused: list[Refused]


def as_list(paths: str | list[str]) -> list[str]:
    """The files of an image: one, or one for each modality."""
    return paths if isinstance(paths, list) else [paths]


def file_of(case: Case) -> str:
    """The file that a case is called by: its image's, of several modalities the first."""
    return str(as_list(case["image"])[0])
