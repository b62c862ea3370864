"""Tensors that are to become a network's -> nothing, or an error that says which of them do not fit and why."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch


def require_names(missing: Collection[str], surplus: Collection[str], path: Path, remedy: str) -> None:
    if missing or surplus:
        examples = ", ".join([*sorted(missing)[:1], *sorted(surplus)[:1]])
        raise ValueError(
            f"{path} does not fit the network: {len(missing)} of its tensors are missing and {len(surplus)} do not belong "
            f"(for example {examples}); {remedy}"
        )


def require_values(
    tensors: Mapping[str, Any], expected: Mapping[str, torch.Tensor], path: Path, prefix: str, remedy: str
) -> None:
    """Each value is a tensor of the expected shape and kind of number, and finite; floats of any precision are one kind.

    prefix: what the file has before these names.
    """
    for name, value in tensors.items():
        origin, needed = f"{path}: {prefix}{name}", expected[name]
        require_numbers(value, needed, origin, remedy)
        if value.shape != needed.shape:
            raise ValueError(f"{origin} has the shape {tuple(value.shape)}, the network needs {tuple(needed.shape)}; {remedy}")


def require_numbers(value: Any, needed: torch.Tensor, origin: str, remedy: str) -> None:
    """As `require_values`, of one value and of any shape. origin: the file and the name in it."""
    if not isinstance(value, torch.Tensor):
        raise ValueError(f"{origin} is of the type {type(value).__name__}, it must be a tensor; {remedy}")
    if value.is_floating_point() != needed.is_floating_point() or value.is_complex():
        raise ValueError(f"{origin} has the type {value.dtype}, the network needs {needed.dtype}; {remedy}")
    if not torch.isfinite(value.to(needed.dtype)).all():
        raise ValueError(f"{origin} holds NaN or infinite values; get the file again, or use another")
