"""A network and what was exported of it -> how far their logits and their masks are apart."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from .exported_part import Function

RELATIVE = 1e-4  # of the largest logit
TIES = 1e-5  # share of a mask's voxels; so many may lie within rounding of two classes, and fall either way on any computer


class Masks(NamedTuple):
    """Of one volume. dice: mean over all classes or regions that either mask shows but the background, 1 where none does."""

    voxels: int
    different: int
    dice: float


def logit_error(function: Function, exported: Function, inputs: Iterable[torch.Tensor]) -> float:
    """The largest difference, as a share of the largest logit of the same volume.

    NaN where either gives what is no number. Raises ValueError where the exported one fails, or gives another size.
    """
    worst = 0.0
    for given in inputs:
        expected = function(given)
        try:
            found = exported(given)
        except (RuntimeError, torch.jit.Error) as error:  # of torch and onnxruntime, and of TorchScript
            reason = str(error).strip().splitlines()[-1]
            failed = f"fails at one of {given.shape[4]} ({reason})"
            raise ValueError(f"the exported network must take any depth, and {failed}; take --format pt2 or onnx") from error
        if found.shape != expected.shape:
            raise ValueError(f"the exported network gave {tuple(found.shape)} and the network {tuple(expected.shape)}")
        error = float((found - expected).abs().max() / expected.abs().max())
        worst = error if not error <= worst else worst
        if worst != worst:
            return worst
    return worst


def compare_masks(expected: torch.Tensor, found: torch.Tensor, regions: bool) -> Masks:
    """Of logits (1, K, H, W, D): the likeliest class, or with regions each from 0 on."""
    if regions:
        masks = [(logits >= 0)[0] for logits in (expected, found)]
        shown = list(zip(*masks, strict=True))
        different = (masks[0] != masks[1]).any(0)
    else:
        classes = [logits.argmax(1)[0] for logits in (expected, found)]
        shown = [tuple(mask == number for mask in classes) for number in range(1, expected.shape[1])]
        different = classes[0] != classes[1]
    scores = [2 * int((one & other).sum()) / both for one, other in shown if (both := int(one.sum()) + int(other.sum()))]
    return Masks(different.numel(), int(different.sum()), sum(scores) / len(scores) if scores else 1.0)
