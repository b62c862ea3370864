"""A word is answered with those close to it, and never with itself."""

from scripts.run.close_names import did_you_mean


def test_close_names_are_asked_for_and_others_are_not() -> None:
    assert did_you_mean("max_epoch", ["max_epochs", "seed"]) == "; did you mean max_epochs?"
    assert did_you_mean("xyzzy", ["max_epochs", "seed"]) == ""
    assert did_you_mean("seed", ["seed", 5]) == ""
