"""A preset -> the loss of one stage: of classes that exclude each other, or of regions that overlap."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch.nn.modules.loss import _Loss

from ..basics.regions import Regions, region_classes
from .dice_ce import DiceCELoss
from .region_loss import RegionLoss


def segmentation_loss(
    labels: Mapping[str, str],
    regions: Regions = MappingProxyType({}),
    include_background: bool = True,
    lambda_dice: float = 1.0,
    lambda_ce: float = 1.0,
    weight: Sequence[float] | None = None,
    ignore_index: int | None = None,
    label_sets: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> _Loss:
    """Builds `RegionLoss` where the preset has regions, else `DiceCELoss`.

    Args:
        labels: the preset's, value -> name.
        regions: the preset's, name -> label values.
        include_background: whether the background's Dice counts; among regions there is none.
        lambda_dice: weight of Dice.
        lambda_ce: weight of cross-entropy.
        weight: of each class, background first, or of each region; None: all alike.
        ignore_index: class of the voxels that do not count.
        label_sets: of partly annotated cases, see `DiceCELoss`.

    Returns:
        A loss of logits (B, K, ...) and class numbers (B, 1, ...).

    Raises:
        ValueError: for regions with `include_background` false.

    Example:
        >>> from scripts.losses import segmentation_loss
        >>> labels = {"0": "background", "1": "edema", "4": "enhancing"}
        >>> type(segmentation_loss(labels)).__name__
        'DiceCELoss'
        >>> segmentation_loss(labels, {"whole tumour": [1, 4], "enhancing": [4]}).regions
        [[1, 2], [2]]
    """
    if regions:
        if not include_background:
            raise ValueError("regions have no background; leave loss#loss#include_background out")
        classes = region_classes(labels, regions)
        return RegionLoss(classes, lambda_dice, lambda_ce, weight, ignore_index, label_sets)
    return DiceCELoss(include_background, lambda_dice, lambda_ce, weight, ignore_index, label_sets)
