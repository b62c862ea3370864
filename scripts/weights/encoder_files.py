"""The published files of pretrained slice encoders: where they are, and by which sum they are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

SAM = "https://dl.fbaipublicfiles.com/segment_anything/"
SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
DINOV2 = "https://dl.fbaipublicfiles.com/dinov2/"
DINOV3 = "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads"  # a form; files' addresses come by mail
# The last commit at the time of writing, so that the address means one file.
MOBILE_SAM = "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/"


@dataclass(frozen=True)
class EncoderFile:
    """name: as in `sam3d download NAME`. url: of the file; without a sha256, which its publishers do not give, of a page.

    size: bytes, where known. tensor: the name and shape of one by which an encoder is known to be of this architecture.
    """

    name: str
    file: str
    url: str
    licence: str
    sha256: str | None = None
    size: int | None = None
    tensor: tuple[str, tuple[int, ...]] | None = None

    def fits(self, state: Mapping[str, torch.Tensor]) -> bool:
        if self.tensor is None:
            return False
        name, shape = self.tensor
        return name in state and tuple(state[name].shape) == shape

    def how_to_get(self, place: Path) -> str:
        """In words."""
        if self.sha256 is None:
            return f"Fetch {self.file} by hand from {self.url} and put it at {place}"
        command = f"sam3d download {self.name}" if self is not DEFAULT else "sam3d download"
        return (
            f"Download it once by `{command}`, or fetch {self.url} (sha256 {self.sha256}) by other means and put it at {place}"
        )


def _positions(tokens: int, channels: int) -> tuple[str, tuple[int, ...]]:
    return "image_encoder.pos_embed", (1, tokens, tokens, channels)


def _last_block(index: int, channels: int) -> tuple[str, tuple[int, ...]]:
    """Of Hiera, whose variants may begin alike."""
    return f"image_encoder.trunk.blocks.{index}.norm1.weight", (channels,)


def _dinov2(size: str, channels: int) -> EncoderFile:
    name = f"dinov2_vit{size}14"
    tensor = ("image_encoder.pos_embed", (1, 1 + 37**2, channels))
    return EncoderFile(name, f"{name}_pretrain.pth", f"{DINOV2}{name}/{name}_pretrain.pth", "Apache-2.0", tensor=tensor)


def _dinov3(size: str, channels: int, digits: str) -> EncoderFile:
    """digits: with which its sha256 begins."""
    name = f"dinov3_vit{size}16"
    tensor = ("image_encoder.storage_tokens", (1, 4, channels))
    return EncoderFile(name, f"{name}_pretrain_lvd1689m-{digits}.pth", DINOV3, "DINOv3 licence", tensor=tensor)


# The first that fits an encoder is the one proposed for it.
ENCODER_FILES = (
    EncoderFile(
        "vit_b",
        "sam_vit_b_01ec64.pth",
        f"{SAM}sam_vit_b_01ec64.pth",
        "Apache-2.0",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
        _positions(64, 768),
    ),
    EncoderFile(
        "vit_l",
        "sam_vit_l_0b3195.pth",
        f"{SAM}sam_vit_l_0b3195.pth",
        "Apache-2.0",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
        _positions(64, 1024),
    ),
    EncoderFile(
        "vit_h",
        "sam_vit_h_4b8939.pth",
        f"{SAM}sam_vit_h_4b8939.pth",
        "Apache-2.0",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
        _positions(64, 1280),
    ),
    EncoderFile(
        "mobile_sam",
        "mobile_sam.pt",
        f"{MOBILE_SAM}mobile_sam.pt",
        "Apache-2.0",
        "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        40_728_226,
        ("image_encoder.patch_embed.seq.0.c.weight", (32, 3, 3, 3)),
    ),
    EncoderFile(
        "sam2_tiny",
        "sam2.1_hiera_tiny.pt",
        f"{SAM2}sam2.1_hiera_tiny.pt",
        "Apache-2.0",
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        156_008_466,
        _last_block(11, 768),
    ),
    EncoderFile(
        "sam2_small",
        "sam2.1_hiera_small.pt",
        f"{SAM2}sam2.1_hiera_small.pt",
        "Apache-2.0",
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        184_416_285,
        _last_block(15, 768),
    ),
    EncoderFile(
        "sam2_base_plus",
        "sam2.1_hiera_base_plus.pt",
        f"{SAM2}sam2.1_hiera_base_plus.pt",
        "Apache-2.0",
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        tensor=_last_block(23, 896),
    ),
    EncoderFile(
        "sam2_large",
        "sam2.1_hiera_large.pt",
        f"{SAM2}sam2.1_hiera_large.pt",
        "Apache-2.0",
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        tensor=_last_block(47, 1152),
    ),
    EncoderFile(
        "medsam",
        "medsam_vit_b.pth",
        "https://zenodo.org/records/10689643",
        "in its Zenodo record",
        tensor=_positions(64, 768),
    ),
    EncoderFile(
        "sam_med2d",
        "sam-med2d_b.pth",
        "https://drive.google.com/file/d/1ARiB5RkSsWmAB_8mqWnwDF8ZKTtFwsjl/view",
        "Apache-2.0",
        tensor=("image_encoder.blocks.0.Adapter.norm.weight", (768,)),
    ),
    EncoderFile(
        "ft_sam",
        "ft-sam_b.pth",
        "https://drive.google.com/file/d/1J4qQt9MZZYdv1eoxMTJ4FL8Fz65iUFM8/view",
        "Apache-2.0",
        tensor=_positions(16, 768),
    ),
    _dinov2("s", 384),
    _dinov2("b", 768),
    _dinov2("l", 1024),
    _dinov3("s", 384, "08c60483"),
    _dinov3("b", 768, "73cec8be"),
    _dinov3("l", 1024, "8aa4cbdd"),
)
DEFAULT = ENCODER_FILES[0]
BY_NAME = {entry.name: entry for entry in ENCODER_FILES}
BY_FILE = {entry.file: entry for entry in ENCODER_FILES}
BY_SHA256 = {entry.sha256: entry for entry in ENCODER_FILES if entry.sha256}


def file_for(file: str, state: Mapping[str, torch.Tensor]) -> EncoderFile:
    """The one that an encoder with these tensors needs: of this name if that fits it, else the first that does.

    For dimensions that nobody published, the one of this name, else the default.
    """
    fitting = [entry for entry in ENCODER_FILES if entry.fits(state)]
    named = BY_FILE.get(file)
    if named is not None and (named in fitting or not fitting or named.tensor is None):
        return named
    return fitting[0] if fitting else DEFAULT
