"""Augmented crops of cached pixels: image, label and embedding move together."""

from pathlib import Path

import pytest
import torch
from conftest import NARROW
from monai.data import MetaTensor
from monai.losses import DiceCELoss
from monai.transforms import Affined, Compose, Flipd, RandAffined, ScaleIntensityd, SpatialPadd
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.basics.contracts import Level
from scripts.basics.tokens import fold, pixels_to_tokens
from scripts.data import DrawEmbeddingsd, EmbeddingCache, EmbeddingStore, JoinPixelsd, ReadCased, read_datalist
from scripts.data.phantoms import LABELS
from scripts.losses import DeepSupervision
from scripts.networks import SAM3D, DetailPyramid, EmbeddingsToLogits, ResidualDecoder, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random

ROI = 6


def mean_of_tokens(image: torch.Tensor) -> torch.Tensor:
    """An encoder that is linear: (1, H, W, D) -> (1, H / 16, W / 16, D)."""
    return F.avg_pool3d(image[None], (16, 16, 1))[0]


def smooth_crop() -> dict[str, MetaTensor]:
    """Waves far longer than a token: their means over tokens move as they do."""
    x, y, z = torch.meshgrid(torch.arange(160), torch.arange(128), torch.arange(8), indexing="ij")
    image = ((x / 40).sin() * (y / 30).cos() + z / 8)[None].float()
    return {
        "image": MetaTensor(image),
        "label": MetaTensor((image > 0.5).float()),
        "embedding": MetaTensor(mean_of_tokens(image)),
    }


def test_where_nothing_moved_it_is_what_the_network_encodes() -> None:
    crop = smooth_crop()
    joined = JoinPixelsd()(crop)
    expected = torch.cat([crop["embedding"].as_tensor(), pixels_to_tokens(crop["image"][None])[0]])
    assert torch.equal(joined["image"].as_tensor(), expected)
    assert torch.equal(joined["label"], crop["label"].as_tensor())


@pytest.mark.parametrize("rotate", [(0.0, 0.0, 0.5), (0.0, 0.0, -0.3)])
@pytest.mark.parametrize("scale", [(1.0, 1.0, 1.0), (1.2, 0.8, 1.1)])
@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (9.0, -14.0, 1.0)])
def test_the_embedding_follows_the_image(rotate: tuple[float, ...], scale: tuple[float, ...], shift: tuple[float, ...]) -> None:
    keys = ["image", "label"]
    moved = Affined(keys, rotate_params=rotate, scale_params=scale, translate_params=shift, padding_mode="zeros")(smooth_crop())
    joined = JoinPixelsd()(moved)["image"].as_tensor()
    assert torch.equal(joined[1:], pixels_to_tokens(moved["image"][None])[0])
    inside = (slice(3, -3), slice(3, -3), slice(2, -2))  # beyond the crop's border there is nothing to follow
    expected = mean_of_tokens(moved["image"].as_tensor())[0]
    unmoved = smooth_crop()["embedding"].as_tensor()[0]
    assert (joined[0] - expected)[inside].abs().max() < 0.05
    if rotate[2] or shift[0]:
        assert (unmoved - expected)[inside].abs().max() > 0.1


@pytest.mark.parametrize("stride", [8, 4])
def test_finer_levels_follow_the_image_finer(stride: int) -> None:
    """Means over their positions of waves that tokens are too coarse for; two modalities, tokens and levels side by side."""
    x, y, _ = torch.meshgrid(torch.arange(160), torch.arange(128), torch.arange(4), indexing="ij")
    image = torch.stack([(x / 8).sin() * (y / 9).cos(), (x / 9 + y / 8).sin()]).float()

    def means(image: torch.Tensor) -> torch.Tensor:
        level = fold(F.avg_pool3d(image[:, None], (stride, stride, 1)), 16 // stride)  # (M, C, h, w, D)
        return torch.cat([F.avg_pool3d(image[:, None], (16, 16, 1)), level], 1).flatten(0, 1)

    crop = {"image": MetaTensor(image), "label": MetaTensor(image[:1]), "embedding": MetaTensor(means(image))}
    keys = ["image", "label"]
    moved = Affined(keys, rotate_params=(0.0, 0.0, 0.4), translate_params=(5.0, -3.0, 0.0), padding_mode="zeros")(crop)
    joined = JoinPixelsd([Level(1, stride)])(moved)["image"].as_tensor()
    each = 1 + (16 // stride) ** 2
    expected, got = (part[: 2 * each].unflatten(0, (2, each))[:, 1:, 3:-3, 3:-3] for part in (means(moved["image"]), joined))
    assert (got - expected).abs().mean() < 0.15 * expected.abs().mean()
    unfolded = JoinPixelsd()(moved)["image"].as_tensor()[: 2 * each].unflatten(0, (2, each))[:, 1:, 3:-3, 3:-3]
    assert (unfolded - expected).abs().mean() > 0.4 * expected.abs().mean()  # as if a level were a token's own channels


def test_flips_are_followed_exactly() -> None:
    moved = Flipd(["image", "label"], spatial_axis=[0, 2])(smooth_crop())
    assert_close(JoinPixelsd()(moved)["image"][0].as_tensor(), smooth_crop()["embedding"].as_tensor()[0].flip(0, 2))


def test_image_and_label_of_a_random_crop_still_belong_together() -> None:
    crop = smooth_crop()
    random = RandAffined(
        ["image", "label"], prob=1.0, rotate_range=(0, 0, 0.5), mode=["bilinear", "nearest"], padding_mode="zeros"
    )
    moved = random.set_random_state(seed=1)(crop)
    assert ((moved["image"] > 0.5) == moved["label"].bool()).float().mean() > 0.98
    assert not torch.allclose(moved["image"].as_tensor(), crop["image"].as_tensor())


def test_the_loss_is_that_of_the_uncached_path(phantoms: Path) -> None:
    """Same crop, same weights: within what half precision rounds away."""
    encoder = SAMSliceEncoder(NARROW)
    fill_at_random(encoder, seed=0, std=0.2)
    decoder = ResidualDecoder(256, 4, channels=(16, 8, 8, 4), detail_channels=(16, 8, 8, 4), shortcut_kernel=1)
    network = SAM3D(encoder, decoder, DetailPyramid(1, (4, 8, 8, 16)))
    preprocessing = [ReadCased(1, LABELS), ScaleIntensityd("image"), SpatialPadd(["image", "label"], (48, 40, -1))]
    cases = read_datalist(phantoms)["training"].cases
    cache = EmbeddingCache(cases, preprocessing, [[]], network, torch.device("cpu"), EmbeddingStore("memory"))
    cache.fill()
    loss = DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), [8 / 15, 4 / 15, 2 / 15, 1 / 15])
    trained = EmbeddingsToLogits(network, plane=(48, 40)).train()
    draw = DrawEmbeddingsd(cache, ROI, pos=1, neg=0).set_random_state(seed=1)
    for case in cases:
        cached = Compose([draw, JoinPixelsd()])(case)
        volume = Compose(preprocessing)(case)
        start = next(s for s in range(99) if torch.equal(volume["label"][..., s : s + ROI].as_tensor(), cached["label"]))
        uncached = volume["image"][None, ..., start : start + ROI]
        labels = cached["label"][None]
        expected = loss(network(uncached), labels)
        assert abs(loss(trained(cached["image"][None]), labels) - expected) <= 1e-3 * expected
