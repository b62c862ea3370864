"""What MONAI does not have: its Dice jointly over classes, its deep supervision with integer labels."""

from .deep_supervision import DeepSupervision
from .joint_dice import JointDiceCELoss

__all__ = ["DeepSupervision", "JointDiceCELoss"]
