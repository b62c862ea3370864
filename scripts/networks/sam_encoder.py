"""Volume -> slices -> SAM's ViT image encoder -> stacked slice embeddings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from ..basics.recorded import is_recorded
from ..basics.tokens import PATCH
from .depth_adapter import DepthAdapter
from .lora import LoRA
from .sam_med2d_adapter import Adapter
from .segment_anything import ImageEncoderViT, get_rel_pos
from .slicewise_encoder import PIXEL_MEAN, PIXEL_STD, SlicewiseEncoder, dimensions_of
from .windows import over_windows

# The three published encoders (segment_anything/build_sam.py). Shared: 1024 px, patch 16, window 14, 256 output channels.
VARIANTS: dict[str, dict[str, Any]] = {
    "vit_b": {"embed_dim": 768, "depth": 12, "num_heads": 12, "global_attn_indexes": (2, 5, 8, 11)},
    "vit_l": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "global_attn_indexes": (5, 11, 17, 23)},
    "vit_h": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "global_attn_indexes": (7, 15, 23, 31)},
}
WINDOW = 14  # tokens on a side of one attention window
# By device; on a CPU the fastest of those tried, on CUDA not measured. Other devices are taken as a CPU.
BIAS_BYTES = {"cpu": 2**25, "cuda": 2**29}  # of one block of attention biases

Tables = tuple[torch.Tensor, torch.Tensor]  # of rows and of columns: (query, key, C / heads) for windows of one size


class Attention(Protocol):
    """Of a block of SAM's ViT."""

    num_heads: int
    qkv: nn.Linear
    proj: nn.Linear


class Block(Protocol):
    """Of SAM's ViT."""

    attn: Attention
    norm1: nn.Module
    norm2: nn.Module
    mlp: nn.Module


class SAMSliceEncoder(SlicewiseEncoder):
    """(B, M, H, W, D) in [0, 1] -> (B, 256 * M, ceil(H / 16), ceil(W / 16), D), each slice of each modality by itself.

    Numerically SAM's image encoder (Kirillov et al., "Segment Anything", arXiv:2304.02643) on the slice repeated to three
    channels: its modules hold the parameters under their official names, so checkpoints load unchanged. The arithmetic is
    reordered, exactly: the padding of attention windows is summed up instead of computed (see `attend`), attention runs in
    blocks of rows, and the repeated channels and pixel normalisation are folded into the patch embedding. For slices of another
    size than `image_size` the absolute position table is resampled bicubically, the relative ones linearly as SAM itself does.

    All of it is frozen, unless `trainable`, `trained_blocks`, `lora_rank` or `adapter_width` say what is trained; `trained` has
    the names. With depth adapters alone slices see each other, and `mixes_slices` says so.

    Args:
        variant: `vit_b`, `vit_l`, `vit_h`, or the dimensions of another ViT (keys as in `VARIANTS`, and `out_chans`).
        memory: GB (10^9 bytes) that the intermediate results of the slices encoded at once may take, where a single slice
            takes less; None: by device, `MEMORY`. Changes speed, not the result.
        trainable: all of it is trained. While nothing is, the encoder stays in `eval()` and under `no_grad`.
        blocks: indices of ViT blocks, rising, whose outputs (C channels, before the neck) are given too:
            (B, M * (256 + n * C), h, w, D). Of each modality the neck's channels come first, then the blocks' in this order;
            see `channels`.
        pixel_mean: of 0..255 RGB, subtracted from what the ViT sees; SAM's by default. MedSAM's ViT-B was trained on pixels
            in [0, 1] themselves: 0, 0, 0.
        pixel_std: by which the rest is divided; MedSAM's: 255, 255, 255.
        image_size: pixels on a side of the images that the file's position tables were made for; SAM-Med2D's: 256.
        adapters: the `Adapter` of SAM-Med2D stands beside the MLP of every block.
        trained_blocks: the last so many blocks and the neck are trained; nothing below them is kept for the backward pass.
        lora_rank: of trained updates of every block's queries and values, see `LoRA`; 0: none. Before the first step they
            change nothing.
        lora_alpha: they are scaled by lora_alpha / lora_rank; None: by 1.
        adapter_width: channels of a trained `DepthAdapter` behind every block; 0: none. They too change nothing at first.

    Raises:
        ValueError: for another variant, memory or a deviation that is not positive, blocks that the ViT does not have, an
            image_size that is no multiple of 16, and parts to train where all is trained.

    Example:
        >>> import torch
        >>> from scripts.networks import SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}  # of SAM's: "vit_b"
        >>> encoder = SAMSliceEncoder(vit)
        >>> volume = torch.rand(1, 2, 40, 33, 6)
        >>> tuple(encoder(volume).shape)
        (1, 512, 3, 3, 6)
        >>> torch.allclose(encoder(volume)[..., 2:5], encoder(volume[..., 2:5]), atol=1e-6)
        True
    """

    def __init__(
        self,
        variant: str | Mapping[str, Any] = "vit_b",
        memory: float | None = None,
        trainable: bool = False,
        blocks: Sequence[int] = (),
        pixel_mean: Sequence[float] = PIXEL_MEAN,
        pixel_std: Sequence[float] = PIXEL_STD,
        image_size: int = 1024,
        adapters: bool = False,
        trained_blocks: int = 0,
        lora_rank: int = 0,
        lora_alpha: float | None = None,
        adapter_width: int = 0,
    ) -> None:
        dimensions = dimensions_of(variant, VARIANTS)
        if image_size < PATCH or image_size % PATCH:
            raise ValueError(f"image_size must be a multiple of {PATCH} px, a patch's side, got {image_size}")
        image_encoder = ImageEncoderViT(
            **dimensions,
            img_size=image_size,
            patch_size=PATCH,
            window_size=WINDOW,
            use_rel_pos=True,
            norm_layer=lambda channels: nn.LayerNorm(channels, eps=1e-6),  # SAM's checkpoints use eps 1e-6
        )
        depth = len(image_encoder.blocks)
        if list(blocks) != [index for index in range(depth) if index in blocks]:
            raise ValueError(f"blocks must be rising indices below {depth}, the ViT's depth, got {list(blocks)}")
        if not 0 <= trained_blocks <= depth:
            raise ValueError(f"trained_blocks must be from 0 to {depth}, the ViT's depth, got {trained_blocks}")
        if trainable and (trained_blocks or lora_rank or adapter_width):
            raise ValueError(
                "trained_blocks, lora_rank and adapter_width tune a frozen encoder, and encoder_trainable: true trains all of "
                "it; set it to false, or omit the overlays last_blocks, lora and depth_adapter. For two stages give --overlay "
                "two_stage before them"
            )
        if adapters:
            for block in image_encoder.blocks:
                block.Adapter = Adapter(image_encoder.pos_embed.shape[-1])
        super().__init__(image_encoder, memory, trainable, pixel_mean, pixel_std)
        self.adapters = adapters
        self.blocks = tuple(blocks)
        if trained_blocks:
            for part in (*image_encoder.blocks[-trained_blocks:], image_encoder.neck):
                part.requires_grad_(True)
        channels, alpha = image_encoder.pos_embed.shape[-1], lora_rank if lora_alpha is None else lora_alpha
        self.lora = nn.ModuleList(LoRA(channels, lora_rank, alpha) for _ in range(depth if lora_rank else 0))
        self.depth_adapters = nn.ModuleList(DepthAdapter(channels, adapter_width) for _ in range(depth if adapter_width else 0))
        self.note_trained()

    @property
    def channels(self) -> list[int]:
        """Of the parts of one modality's embedding, in their order: of the neck, then of each of `blocks`."""
        return [self.image_encoder.neck[0].out_channels] + [self.image_encoder.pos_embed.shape[-1]] * len(self.blocks)

    @property
    def out_channels(self) -> int:
        return sum(self.channels)

    @property
    def token_bytes(self) -> int:
        return 4 * 12 * self.image_encoder.pos_embed.shape[-1]  # the MLP's 4 C before and after its activation, 4 C beside it

    def choices(self) -> Iterator[str]:
        if self.blocks:
            yield f"blocks {self.blocks}"

    @property
    def mixes_slices(self) -> bool:
        return len(self.depth_adapters) > 0

    def layers_above(self, name: str) -> int:
        """Of a parameter: of the neck 0, of the last block 1, of the first the depth, of the patch embedding one more."""
        depth, parts = len(self.image_encoder.blocks), name.removeprefix("image_encoder.").split(".")
        if parts[0] in ("blocks", "lora", "depth_adapters"):
            return depth - int(parts[1])
        return 0 if parts[0] == "neck" else depth + 1

    def merged(self) -> dict[str, torch.Tensor]:
        """`pretrained`, with all that was trained in it: what SAM's own code computes with them is what this encoder does."""
        if self.mixes_slices:
            raise ValueError(
                "an encoder with depth adapters cannot be written as one of SAM's, which sees slices by themselves; merge one "
                "that was trained with --overlay lora, last_blocks or train_encoder"
            )
        weights = self.pretrained()
        for index, weight in enumerate(self._qkv_weights()):
            weights[f"image_encoder.blocks.{index}.attn.qkv.weight"] = weight.detach()
        return weights

    def encoding(self, height: int, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
        shared = self._shared(height, width)
        return lambda slices: self._encode([slices], slices.shape[0], **shared)

    def encode_parts(self, parts: Sequence[torch.Tensor], grid: tuple[int, int], depth: int) -> torch.Tensor:
        if self.mixes_slices:
            return self._encode(parts, depth, **self._shared(*grid))
        return super().encode_parts(parts, grid, depth)

    def _shared(self, height: int, width: int) -> dict[str, Any]:
        """What the slices of h x w tokens have in common."""
        return {
            "patches": self.grey_patch_embedding(self.image_encoder.patch_embed.proj),
            "positions": self._position_embedding(height, width),
            "tables": self._tables(height, width),
            "weights": self._qkv_weights(),
        }

    def _encode(
        self,
        parts: Sequence[torch.Tensor],
        depth: int,
        patches: tuple[torch.Tensor, torch.Tensor],
        positions: torch.Tensor,
        tables: list[Tables],
        weights: list[torch.Tensor],
    ) -> torch.Tensor:
        """Parts (n, 1, 16 h, 16 w) in [0, 1] of N slices -> (N, 256, h, w), and the outputs of `blocks` after the 256.

        depth: slices of a volume, which adapters mix.
        """
        parts = [F.conv2d(slices, *patches, stride=PATCH) + positions for slices in parts]  # (n, C, h, w) each
        parts = [tokens.permute(0, 2, 3, 1) for tokens in parts]  # (n, h, w, C)
        outputs = []
        for index, (block, table, weight) in enumerate(zip(self.image_encoder.blocks, tables, weights, strict=True)):
            parts = [_through_block(block, tokens, table, weight) for tokens in parts]
            if self.mixes_slices:
                volumes = torch.cat(parts).unflatten(0, (-1, depth))  # (B*M, D, h, w, C)
                updates = self.depth_adapters[index](volumes).flatten(0, 1).split([tokens.shape[0] for tokens in parts])
                parts = [tokens + update for tokens, update in zip(parts, updates, strict=True)]  # in the layout of `tokens`
            if index in self.blocks:
                outputs.append(torch.cat([tokens.permute(0, 3, 1, 2) for tokens in parts]))
        necks = torch.cat([self.image_encoder.neck(tokens.permute(0, 3, 1, 2)) for tokens in parts])
        return torch.cat([necks, *outputs], 1)

    def _position_embedding(self, height: int, width: int) -> torch.Tensor:
        """The absolute table at h x w tokens, (1, C, h, w)."""
        table = self.image_encoder.pos_embed.permute(0, 3, 1, 2)
        if table.shape[2:] == (height, width):
            return table
        return F.interpolate(table, size=(height, width), mode="bicubic", align_corners=False)

    def _qkv_weights(self) -> list[torch.Tensor]:
        """Of every block."""
        weights = [block.attn.qkv.weight for block in self.image_encoder.blocks]
        return [update(weight) for update, weight in zip(self.lora, weights, strict=True)] if self.lora else weights

    def _tables(self, height: int, width: int) -> list[Tables]:
        """Of every block, its decomposed relative positions for windows, or for a grid of h x w tokens."""
        tables = []
        for block in self.image_encoder.blocks:
            size_h, size_w = (block.window_size, block.window_size) if block.window_size else (height, width)
            attention = block.attn
            tables.append((get_rel_pos(size_h, size_h, attention.rel_pos_h), get_rel_pos(size_w, size_w, attention.rel_pos_w)))
        return tables


def _through_block(block: Block, tokens: torch.Tensor, tables: Tables, qkv_weight: torch.Tensor) -> torch.Tensor:
    """(N, h, w, C) -> (N, h, w, C)"""
    tokens = tokens + attend(block.attn, block.norm1(tokens), tables, qkv_weight)
    normed = block.norm2(tokens)
    tokens = tokens + block.mlp(normed)
    adapter = getattr(block, "Adapter", None)  # SAM-Med2D's
    return tokens if adapter is None else tokens + adapter(normed)


def attend(attention: Attention, tokens: torch.Tensor, tables: Tables, qkv_weight: torch.Tensor | None = None) -> torch.Tensor:
    """SAM's attention (N, h, w, C) -> (N, h, w, C) within windows of the tables' size, A x B tokens.

    SAM pads the grid with zeros to whole windows and lets the padding take part in the softmax. All padded positions of a
    window have the same key and value, the projection's bias, and differ only in their relative position, so they act as
    one virtual key: no padded token is ever computed.

    qkv_weight: in place of the projection's own.
    """
    table_h, table_w = tables
    weight = attention.qkv.weight if qkv_weight is None else qkv_weight
    qkv = F.linear(tokens, weight, attention.qkv.bias)  # (N, h, w, 3 C)

    def within(qkv: torch.Tensor) -> torch.Tensor:
        return _attend_within(attention, qkv, table_h[: qkv.shape[1]], table_w[: qkv.shape[2]])

    return attention.proj(over_windows(qkv, (len(table_h), len(table_w)), within))


def _attend_within(attention: Attention, qkv: torch.Tensor, table_h: torch.Tensor, table_w: torch.Tensor) -> torch.Tensor:
    """Attention of the a x b real tokens of each window, (n, a, b, 3 C) -> (n, a, b, C).

    table_h: (a, A, C / heads) with A - a rows of padding below the real ones; table_w: (b, B, C / heads) likewise.
    """
    real_h, real_w = (int(size) for size in qkv.shape[1:3])
    q, k, v = qkv.unflatten(3, (3, attention.num_heads, -1)).permute(3, 0, 4, 1, 2, 5)  # each (n, heads, a, b, C / heads)
    k, v = k.flatten(2, 3), v.flatten(2, 3)
    padded = table_h.shape[1] > real_h or table_w.shape[1] > real_w
    if padded:  # the virtual key and its value
        _, k_padding, v_padding = attention.qkv.bias.to(k.dtype).view(3, 1, attention.num_heads, 1, -1)
        k = torch.cat([k, k_padding.expand(k.shape[0], -1, -1, -1)], 2)
        v = torch.cat([v, v_padding.expand(v.shape[0], -1, -1, -1)], 2)
    # The bias of all pairs of tokens would be by far the largest tensor, so a block of query rows at a time.
    windows = 1 if is_recorded() else int(q.shape[0])  # how many there will be is not known
    row_bytes = windows * attention.num_heads * real_w * int(k.shape[2]) * q.element_size()
    rows = max(1, BIAS_BYTES.get(q.device.type, BIAS_BYTES["cpu"]) // row_bytes)
    blocks = []
    for q_rows, table_rows in zip(q.split(rows, 2), table_h.split(rows), strict=True):
        bias = _bias(q_rows, table_rows, table_w, real_h, real_w, padded)
        blocks.append(F.scaled_dot_product_attention(q_rows.flatten(2, 3), k, v, attn_mask=bias.to(q.dtype)))
    return torch.cat(blocks, 2).transpose(1, 2).flatten(2).unflatten(1, (real_h, real_w))


def _bias(q: torch.Tensor, table_h: torch.Tensor, table_w: torch.Tensor, a: int, b: int, padded: bool) -> torch.Tensor:
    """Decomposed relative positions of queries (n, heads, r, b, C / heads) to a x b keys, (n, heads, r b, a b).

    padded: one more key at the end, all of the window's padding: log of the sum of its exp(bias).
    """
    rows = torch.einsum("nmrbc,rAc->nmrbA", q, table_h)
    columns = torch.einsum("nmrbc,bBc->nmrbB", q, table_w)
    bias = (rows[..., :a, None] + columns[..., None, :b]).flatten(4)
    if padded:
        real_rows, padded_rows = rows[..., :a].logsumexp(-1), rows[..., a:].logsumexp(-1)
        real_columns, padded_columns = columns[..., :b].logsumexp(-1), columns[..., b:].logsumexp(-1)
        # padded rows with any column, real rows with padded columns
        padding = torch.logaddexp(padded_rows + torch.logaddexp(real_columns, padded_columns), real_rows + padded_columns)
        bias = torch.cat([bias, padding[..., None].to(bias.dtype)], -1)
    return bias.flatten(2, 3)
