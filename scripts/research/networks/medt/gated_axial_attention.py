"""Feature map -> attention along one axis of it, with gated relative positions."""

import torch
from torch import nn
from torch.nn import functional as F


class AxialAttention(nn.Module):
    """(N, C, h, w) -> (N, C, h, w): along `axis` every line attends to itself, by content alone.

    Batch normalisation of similarities and results takes the place of 1 / sqrt(d), as in Axial-DeepLab (Wang et al.,
    arXiv:2003.07853), on which MedT builds.

    axis: 2 for the columns, 3 for the rows.
    """

    def __init__(self, channels: int, num_heads: int, axis: int) -> None:
        super().__init__()
        if channels % (2 * num_heads):
            raise ValueError(
                f"channels must be a multiple of {2 * num_heads}, since each of {num_heads} heads has half as many of query "
                f"and key as of value, got {channels}; change channels or num_heads"
            )
        self.num_heads = num_heads
        self.axis = axis
        self.qkv = nn.Conv1d(channels, 2 * channels, 1, bias=False)
        self.qkv_norm = nn.BatchNorm1d(2 * channels)
        self.similarity_norm = nn.BatchNorm2d(num_heads)
        self.value_norm = nn.BatchNorm1d(channels)
        nn.init.normal_(self.qkv.weight, std=channels**-0.5)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        lines = features.transpose(self.axis, -1).transpose(1, 2)  # (N, other, C, L)
        others, channels = int(lines.shape[1]), int(lines.shape[2]) // self.num_heads
        qkv = self.qkv_norm(self.qkv(lines.flatten(0, 1))).unflatten(1, (self.num_heads, -1))  # (N * other, heads, 2 c, L)
        attended = self.attend(*qkv.split([channels // 2, channels // 2, channels], 2))  # (N * other, C, L)
        return attended.unflatten(0, (-1, others)).transpose(1, 2).transpose(self.axis, -1)

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """(B, heads, c / 2, L) twice and (B, heads, c, L) -> (B, C, L)."""
        attention = self.similarity_norm(query.mT @ key).softmax(-1)
        return self.value_norm((value @ attention.mT).flatten(1, 2))


class GatedAxialAttention(AxialAttention):
    """(N, C, h, w) -> (N, C, h, w): along `axis`, eq. 2 of Valanarasu et al., "Medical Transformer" (arXiv:2102.10662).

        y_i = sum_j softmax_j(q_i k_j + G_Q q_i r^q_ij + G_K k_j r^k_ij) (G_V1 v_j + G_V2 r^v_ij)

    with tables r of the offset j - i, shared by the heads. The gates start as in the released code, and are trained from the
    start (there after ten epochs). There they stand before the batch normalisation of their term, which divides them out
    again; here after it, so that they gate. (They do not weigh rows against columns, `gate * rows + (1 - gate) * columns`.)

    size: of the lines that the tables are made for; for others these are resampled linearly, offset 0 on offset 0.
    """

    def __init__(self, channels: int, num_heads: int, axis: int, size: int) -> None:
        super().__init__(channels, num_heads, axis)
        head_channels = channels // num_heads
        self.tables = nn.Parameter(torch.empty(2 * head_channels, 2 * size - 1))  # of query, key and value
        self.query_norm = nn.BatchNorm2d(num_heads)
        self.key_norm = nn.BatchNorm2d(num_heads)
        self.position_norm = nn.BatchNorm1d(channels)
        self.gate_query = nn.Parameter(torch.tensor(0.1))
        self.gate_key = nn.Parameter(torch.tensor(0.1))
        self.gate_value = nn.Parameter(torch.tensor(1.0))
        self.gate_position = nn.Parameter(torch.tensor(0.1))
        nn.init.normal_(self.tables, std=head_channels**-0.5)

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        of_query, of_key, of_value = self.positions(int(value.shape[-1])).split([t.shape[2] for t in (query, key, value)])
        similarity = self.similarity_norm(query.mT @ key)  # (B, heads, L, L)
        similarity = similarity + self.gate_query * self.query_norm(torch.einsum("bmci,cij->bmij", query, of_query))
        similarity = similarity + self.gate_key * self.key_norm(torch.einsum("bmcj,cij->bmij", key, of_key))
        attention = similarity.softmax(-1)
        content = self.value_norm((value @ attention.mT).flatten(1, 2))  # (B, C, L)
        position = self.position_norm(torch.einsum("bmij,cij->bmci", attention, of_value).flatten(1, 2))
        return self.gate_value * content + self.gate_position * position

    def positions(self, length: int) -> torch.Tensor:
        """(2 c, L, L): at (i, j) the tables' entries for the offset j - i."""
        tables = self.tables
        if tables.shape[1] != 2 * length - 1:
            tables = F.interpolate(tables[None], 2 * length - 1, mode="linear", align_corners=False)[0]
        return tables.unfold(1, length, 1).flip(1)
