"""What MONAI does not have: losses with ignored voxels and label sets, Dice jointly over classes, regions of class numbers."""

from .deep_supervision import DeepSupervision
from .dice_ce import DiceCELoss
from .joint_dice import JointDiceCELoss
from .region_loss import RegionLoss
from .segmentation_loss import segmentation_loss

__all__ = ["DeepSupervision", "DiceCELoss", "JointDiceCELoss", "RegionLoss", "segmentation_loss"]
