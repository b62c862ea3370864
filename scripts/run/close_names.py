"""A word that is not known, and those that are -> the end of a sentence that asks whether a close one was meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """Nothing where none is close."""
    close = get_close_matches(word, [str(name) for name in known if name != word], n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""
