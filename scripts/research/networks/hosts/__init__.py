"""U-shaped networks that can hand out their skips: `encode`, perhaps a module that refines the skips, `decode`."""

from .double_unet import DoubleUNet
from .monai_hosts import UNetHost, VNetHost
from .multires_unet import MultiResUNet
from .r2_unet import R2UNet
from .resunet_plus_plus import ResUNetPlusPlus

__all__ = ["DoubleUNet", "MultiResUNet", "R2UNet", "ResUNetPlusPlus", "UNetHost", "VNetHost"]
