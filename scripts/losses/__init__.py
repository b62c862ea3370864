"""What MONAI does not have: losses with ignored voxels, its Dice jointly over classes, deep supervision of integer labels."""

from .deep_supervision import DeepSupervision
from .dice_ce import DiceCELoss
from .joint_dice import JointDiceCELoss

__all__ = ["DeepSupervision", "DiceCELoss", "JointDiceCELoss"]
