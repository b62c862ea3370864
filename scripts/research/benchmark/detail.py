"""The detail path -> its step, its decoding and its memory against the decoder without it."""

from functools import partial

import torch
from monai.losses import DiceCELoss

from ...inferers import EmbeddingInferer
from ...losses import DeepSupervision
from ...networks import SAM3D, DetailPyramid, NoEncoder, ResidualDecoder
from ..measure import interleaved_medians, markdown_section, peak_memory
from .decoder import without_output
from .setting import Setting

BATCH = 2


def detail(setting: Setting) -> str:
    networks = {"plain": setting.network(), **_with_detail(setting)}
    plane, voxels = (setting.plane, setting.plane), setting.plane**2 * setting.depth
    volume = setting.volume()
    with torch.no_grad():
        encoded = {name: network.encode(volume) for name, network in networks.items()}
    rows = []
    steps = interleaved_medians(
        {name: partial(_step, network, encoded[name], setting) for name, network in networks.items()}, setting.repeats
    )
    with torch.no_grad():
        runs = {name: partial(network.eval().decode, encoded[name], plane) for name, network in networks.items()}
        decoding = interleaved_medians(runs, setting.repeats)
        for name, network in networks.items():
            trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
            streamed = [_streamed(network, setting, depth) for depth in setting.memory_depths[:3]]
            rows.append(
                [
                    name,
                    trained / 1e6,
                    steps[name],
                    steps[name] / steps["plain"],
                    decoding[name],
                    decoding[name] / decoding["plain"],
                    peak_memory(runs[name]) / voxels,
                    max(streamed) / streamed[0],
                ]
            )
    depths = ", ".join(str(depth) for depth in setting.memory_depths[:3])
    return markdown_section(
        "Detail",
        f"The part that is trained, on what was encoded before: {BATCH} x 1 x {setting.plane} x {setting.plane} x "
        f"{setting.depth} for a training step, loss and optimiser too; one such volume for decoding without gradients, "
        f"with the memory above weights and embeddings. K = {setting.classes}. Streamed: growth of memory beside logits "
        f"over D = {depths}.",
        [
            "network",
            "trained, M",
            "step, s",
            "ratio",
            "decoding, s",
            "ratio",
            "bytes per voxel",
            "growth in D, streamed",
        ],
        rows,
    )


def _with_detail(setting: Setting) -> dict[str, SAM3D]:
    """As in configs/networks/detail.yaml, with the encoder and without."""
    levels = setting.channels[::-1]
    networks = {}
    for name, encoder in {"detail": setting.encoder(), "detail+no_encoder": NoEncoder()}.items():
        torch.manual_seed(0)
        decoder = ResidualDecoder(
            encoder.out_channels,
            setting.classes,
            setting.channels,
            shortcut_kernel=1,
            detail_channels=levels[::-1],
            entrance_channels=32,
            embedding_dropout=0.5,
        )
        networks[name] = SAM3D(encoder, decoder, DetailPyramid(1, levels)).to(setting.device)
    return networks


def _step(network: SAM3D, encoded: torch.Tensor, setting: Setting) -> None:
    network.train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    loss = DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), [8 / 15, 4 / 15, 2 / 15, 1 / 15])
    label = (setting.classes * setting.volume()).long().expand(BATCH, -1, -1, -1, -1)
    optimizer = torch.optim.AdamW(trained, lr=0.0)
    logits = network.decode(encoded.expand(BATCH, -1, -1, -1, -1), (setting.plane, setting.plane))
    loss(logits, label).backward()
    optimizer.step()
    optimizer.zero_grad()


def _streamed(network: SAM3D, setting: Setting, depth: int) -> int:
    """Bytes."""
    inferer = EmbeddingInferer(roi_depth=setting.depth, mode="whole", memory=0)
    short = setting.volume(depth=setting.memory_depths[0])
    runs = [partial(inferer, volume, without_output(network)) for volume in (setting.volume(depth=depth), short)]
    return peak_memory(*runs, device=setting.device)
