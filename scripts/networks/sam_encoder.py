"""Volume -> slices -> SAM's ViT image encoder -> stacked slice embeddings."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from ..basics.tokens import PATCH, padded, tokens
from .depth_adapter import DepthAdapter
from .lora import LoRA
from .segment_anything import ImageEncoderViT, get_rel_pos

# The three published encoders (segment_anything/build_sam.py). Shared: 1024 px, patch 16, window 14, 256 output channels.
VARIANTS: dict[str, dict[str, Any]] = {
    "vit_b": {"embed_dim": 768, "depth": 12, "num_heads": 12, "global_attn_indexes": (2, 5, 8, 11)},
    "vit_l": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "global_attn_indexes": (5, 11, 17, 23)},
    "vit_h": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "global_attn_indexes": (7, 15, 23, 31)},
}
WINDOW = 14  # tokens on a side of one attention window
PIXEL_MEAN = (123.675, 116.28, 103.53)  # of 0..255 RGB, from segment_anything/build_sam.py
PIXEL_STD = (58.395, 57.12, 57.375)
# By device; on a CPU the fastest of those tried, on CUDA not measured. Other devices are taken as a CPU.
MEMORY = {"cpu": 0.1, "cuda": 2.0}  # GB of intermediate results of the slices encoded at once
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


class SAMSliceEncoder(nn.Module):
    """(B, M, H, W, D) in [0, 1] -> (B, 256 * M, ceil(H / 16), ceil(W / 16), D), each slice of each modality by itself.

    Numerically SAM's image encoder (Kirillov et al., "Segment Anything", arXiv:2304.02643) on the slice repeated to three
    channels: its modules hold the parameters under their official names, so checkpoints load unchanged. The arithmetic is
    reordered, exactly: the padding of attention windows is summed up instead of computed (see `attend`), attention runs in
    blocks of rows, and the repeated channels and pixel normalisation are folded into the patch embedding. For slices other
    than 1024 x 1024 the absolute position table is resampled bicubically, the relative ones linearly as SAM itself does.

    All of it is frozen, unless `trainable`, `trained_blocks`, `lora_rank` or `adapter_width` say what is trained; `trained` has
    the names. With adapters alone slices see each other, and `mixes_slices` says so.

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
        trained_blocks: the last so many blocks and the neck are trained; nothing below them is kept for the backward pass.
        lora_rank: of trained updates of every block's queries and values, see `LoRA`; 0: none. Before the first step they
            change nothing.
        lora_alpha: they are scaled by lora_alpha / lora_rank; None: by 1.
        adapter_width: channels of a trained `DepthAdapter` behind every block; 0: none. They too change nothing at first.

    Raises:
        ValueError: for another variant, memory or a deviation that is not positive, blocks that the ViT does not have, and
            parts to train where all is trained.

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
        trained_blocks: int = 0,
        lora_rank: int = 0,
        lora_alpha: float | None = None,
        adapter_width: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(variant, str) and variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)} or a mapping of dimensions, got {variant!r}")
        if memory is not None and memory <= 0:
            raise ValueError(f"memory must be positive, in GB, got {memory}")
        dimensions = VARIANTS[variant] if isinstance(variant, str) else dict(variant)
        self.image_encoder = ImageEncoderViT(
            **dimensions,
            img_size=1024,
            patch_size=PATCH,
            window_size=WINDOW,
            use_rel_pos=True,
            norm_layer=lambda channels: nn.LayerNorm(channels, eps=1e-6),  # SAM's checkpoints use eps 1e-6
        )
        depth = len(self.image_encoder.blocks)
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
        self.memory = memory
        if len(pixel_mean) != 3 or len(pixel_std) != 3 or min(pixel_std) <= 0:
            raise ValueError(
                f"pixel_mean and pixel_std must be three numbers each, for red, green and blue, deviations above 0; got "
                f"{list(pixel_mean)} and {list(pixel_std)}"
            )
        self.blocks = tuple(blocks)
        self.pixel_mean, self.pixel_std = tuple(map(float, pixel_mean)), tuple(map(float, pixel_std))
        self.requires_grad_(trainable)
        if trained_blocks:
            for part in (*self.image_encoder.blocks[-trained_blocks:], self.image_encoder.neck):
                part.requires_grad_(True)
        channels, alpha = self.image_encoder.pos_embed.shape[-1], lora_rank if lora_alpha is None else lora_alpha
        self.lora = nn.ModuleList(LoRA(channels, lora_rank, alpha) for _ in range(depth if lora_rank else 0))
        self.depth_adapters = nn.ModuleList(DepthAdapter(channels, adapter_width) for _ in range(depth if adapter_width else 0))
        self.trained = frozenset(name for name, parameter in self.named_parameters() if parameter.requires_grad)
        self.train(self.training)
        self._sha256: torch.Tensor | None = None  # of what is frozen
        self.register_load_state_dict_pre_hook(_forget_digest)

    @property
    def channels(self) -> list[int]:
        """Of the parts of one modality's embedding, in their order: of the neck, then of each of `blocks`."""
        return [self.image_encoder.neck[0].out_channels] + [self.image_encoder.pos_embed.shape[-1]] * len(self.blocks)

    @property
    def out_channels(self) -> int:
        """Channels of the embedding of one modality."""
        return sum(self.channels)

    @property
    def mixes_slices(self) -> bool:
        return len(self.depth_adapters) > 0

    def train(self, mode: bool = True) -> "SAMSliceEncoder":
        return super().train(mode and bool(self.trained))

    def layers_above(self, name: str) -> int:
        """Of a parameter: of the neck 0, of the last block 1, of the first the depth, of the patch embedding one more."""
        depth, parts = len(self.image_encoder.blocks), name.removeprefix("image_encoder.").split(".")
        if parts[0] in ("blocks", "lora", "depth_adapters"):
            return depth - int(parts[1])
        return 0 if parts[0] == "neck" else depth + 1

    def pretrained(self) -> dict[str, torch.Tensor]:
        """SAM's tensors, under their official names."""
        return self.image_encoder.state_dict(prefix="image_encoder.")

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

    def sha256(self, without: Collection[str] = ()) -> torch.Tensor:
        """Digest of names and fp32 bytes of `pretrained`, and of the choice of `blocks` and of pixels other than SAM's, if any:
        32 bytes as a uint8 tensor.

        The same on every device.

        Args:
            without: names of tensors that are left out.
        """
        of_frozen = self.trained == frozenset(without)
        if of_frozen and self._sha256 is not None:
            return self._sha256
        digest = hashlib.sha256()
        for name, parameter in sorted(self.pretrained().items()):
            if name not in without:
                digest.update(name.encode())
                digest.update(parameter.detach().cpu().float().contiguous().numpy().tobytes())
        if self.blocks:
            digest.update(f"blocks {self.blocks}".encode())
        if (self.pixel_mean, self.pixel_std) != (PIXEL_MEAN, PIXEL_STD):
            digest.update(f"pixels {self.pixel_mean} {self.pixel_std}".encode())
        sha256 = torch.tensor(list(digest.digest()), dtype=torch.uint8)
        if of_frozen:  # it cannot change, but by loading
            self._sha256 = sha256
        return sha256

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        batch, modalities, height, width, depth = volume.shape
        volume = volume.as_subclass(torch.Tensor)  # a MetaTensor's bookkeeping costs Python time in every operation
        slices = volume.permute(0, 1, 4, 2, 3).reshape(-1, 1, height, width)  # (B*M*D, 1, H, W)
        slices = F.pad(slices, (0, padded(width) - width, 0, padded(height) - height))  # raw intensity 0
        grid = (tokens(height), tokens(width))
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.trained)):
            patches, positions, tables = self._grey_patch_embedding(), self._position_embedding(*grid), self._tables(*grid)
            weights = self._qkv_weights()
            parts = slices.split(self._slices_at_once(*grid, slices.device.type))
            groups = [parts] if self.mixes_slices else [(part,) for part in parts]
            embeddings = torch.cat([self._encode(group, depth, patches, positions, tables, weights) for group in groups])
        embeddings = embeddings.unflatten(0, (batch, modalities, depth))  # (B, M, D, 256, h, w)
        return embeddings.permute(0, 1, 3, 4, 5, 2).flatten(1, 2)  # (B, M*256, h, w, D)

    def _slices_at_once(self, height: int, width: int, device: str) -> int:
        """How many slices of h x w tokens the memory allows for."""
        memory = MEMORY.get(device, MEMORY["cpu"]) if self.memory is None else self.memory
        channels = self.image_encoder.pos_embed.shape[-1]
        token_bytes = 4 * 12 * channels  # the widest point: the MLP's 4 C before and after its activation, and 4 C beside it
        return max(1, int(memory * 1e9 / (height * width * token_bytes)))

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
                updates = self.depth_adapters[index](volumes).flatten(0, 1).split([len(tokens) for tokens in parts])
                parts = [tokens + update for tokens, update in zip(parts, updates, strict=True)]  # in the layout of `tokens`
            if index in self.blocks:
                outputs.append(torch.cat([tokens.permute(0, 3, 1, 2) for tokens in parts]))
        necks = torch.cat([self.image_encoder.neck(tokens.permute(0, 3, 1, 2)) for tokens in parts])
        return torch.cat([necks, *outputs], 1)

    def _grey_patch_embedding(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Kernel (C, 1, 16, 16) and bias (C) that do at once: repeat to 3 channels, x 255, - mean, / std, embed patches."""
        projection = self.image_encoder.patch_embed.proj
        mean = projection.weight.new_tensor(self.pixel_mean).view(3, 1, 1)
        std = projection.weight.new_tensor(self.pixel_std).view(3, 1, 1)
        kernel = (projection.weight * (255 / std)).sum(1, keepdim=True)
        bias = projection.bias - (projection.weight * (mean / std)).sum((1, 2, 3))
        return kernel, bias

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


def _forget_digest(encoder: SAMSliceEncoder, *_: Any) -> None:
    encoder._sha256 = None


def _through_block(block: Block, tokens: torch.Tensor, tables: Tables, qkv_weight: torch.Tensor) -> torch.Tensor:
    """(N, h, w, C) -> (N, h, w, C)"""
    tokens = tokens + attend(block.attn, block.norm1(tokens), tables, qkv_weight)
    return tokens + block.mlp(block.norm2(tokens))


def attend(attention: Attention, tokens: torch.Tensor, tables: Tables, qkv_weight: torch.Tensor | None = None) -> torch.Tensor:
    """SAM's attention (N, h, w, C) -> (N, h, w, C) within windows of the tables' size, A x B tokens.

    SAM pads the grid with zeros to whole windows and lets the padding take part in the softmax. All padded positions of a
    window have the same key and value, the projection's bias, and differ only in their relative position, so they act as
    one virtual key: no padded token is ever computed. Windows of one shape (full, right edge, bottom edge, corner) run
    together.

    qkv_weight: in place of the projection's own.
    """
    height, width = (int(size) for size in tokens.shape[1:3])  # plain numbers also while tracing
    table_h, table_w = tables
    size_h, size_w = len(table_h), len(table_w)
    weight = attention.qkv.weight if qkv_weight is None else qkv_weight
    qkv = F.linear(tokens, weight, attention.qkv.bias)  # (N, h, w, 3 C)
    bands = []
    for top, rows, real_h in _runs(height, size_h):
        band = []
        for left, columns, real_w in _runs(width, size_w):
            part = qkv[:, top : top + rows * real_h, left : left + columns * real_w]
            part = part.unflatten(2, (columns, real_w)).unflatten(1, (rows, real_h)).transpose(2, 3)
            part = _attend_within(attention, part.flatten(0, 2), table_h[:real_h], table_w[:real_w])
            part = part.unflatten(0, (-1, rows, columns)).transpose(2, 3)
            band.append(part.flatten(3, 4).flatten(1, 2))
        bands.append(torch.cat(band, 2))
    return attention.proj(torch.cat(bands, 1))


def _runs(length: int, window: int) -> list[tuple[int, int, int]]:
    """Runs of equal windows along an axis: (first token, number of windows, real tokens in each)."""
    full, rest = divmod(length, window)
    return [(0, full, window)] * (full > 0) + [(full * window, 1, rest)] * (rest > 0)


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
    row_bytes = int(q.shape[0]) * attention.num_heads * real_w * int(k.shape[2]) * q.element_size()
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
