"""How the masks of a network are cleaned: the setting, and what is wrong with one."""

import math
from collections.abc import Mapping
from typing import Any

from ..run.close_names import did_you_mean

REMOVE_SMALL, KEEP_LARGEST, FILL_HOLES = STEPS = ("remove_small", "keep_largest", "fill_holes")  # in this order

Steps = Mapping[str, Any]  # name -> True, of the first its mm³
Cleaning = Mapping[str, Steps]  # structure -> steps


def wrong_cleaning(classes: Mapping[str, str], cleaning: Cleaning) -> str | None:
    """How a sentence goes on after "cleaning". classes: value in masks -> name, the background first."""
    names = [*classes.values()][1:]
    for name, steps in cleaning.items():
        if name not in names:
            return f"names {name!r}, and the structures are {', '.join(names)}{did_you_mean(str(name), names)}"
        if not isinstance(steps, Mapping):
            return f'must give {name!r} steps, such as {{"keep_largest": true}}, got {steps!r}'
        for step, value in steps.items():
            if step not in STEPS:
                return f"has the step {step!r} for {name!r}; there are {', '.join(STEPS)}{did_you_mean(str(step), STEPS)}"
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if step == REMOVE_SMALL and not (is_number and 0 < value < math.inf):
                return f"must give {REMOVE_SMALL} of {name!r} a size in mm³ above 0, got {value!r}"
            if step != REMOVE_SMALL and not isinstance(value, bool):
                return f"must have true or false for {step} of {name!r}, got {value!r}"
    return None
