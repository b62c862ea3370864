"""A case: the files of an image, perhaps of its label, and what is known of them."""

from typing import Any, Generic, NamedTuple, NotRequired, TypedDict, TypeVar


class Case(TypedDict):
    """image: a path, or one for each modality.

    label, reference: the path of the labels, for training and for evaluation; the latter stay in the file's own space.
    annotated: names of the classes that the label tells of, where it does not tell of all; label_set: the number of that set.
    subject: whose. opened: the headers, read once in a run and handed on; ask `headers_of` for them. contents: a digest of the
    bytes of all files.
    """

    image: str | list[str]
    label: NotRequired[str]
    reference: NotRequired[str]
    annotated: NotRequired[list[str]]
    label_set: NotRequired[int]
    subject: NotRequired[str]
    opened: NotRequired[Any]
    contents: NotRequired[str]


class NamedCase(Case):
    """name: of the case's mask, below the output folder and without suffix."""

    name: str


AnyCase = TypeVar("AnyCase", bound=Case)


class Refused(NamedTuple, Generic[AnyCase]):
    """A case that cannot be used, and why."""

    case: AnyCase
    error: Exception


class Listed(NamedTuple, Generic[AnyCase]):
    """The cases of a list that can be used as far as the list itself tells, and the others."""

    cases: list[AnyCase]
    refused: list[Refused[AnyCase]]


def as_list(paths: str | list[str]) -> list[str]:
    """The files of an image: one, or one for each modality."""
    return paths if isinstance(paths, list) else [paths]


def file_of(case: Case) -> str:
    """The file that a case is called by: its image's, of several modalities the first."""
    return str(as_list(case["image"])[0])
