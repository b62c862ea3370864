"""Logits and labels of partly annotated cases -> those in which the background and all that may hide in it are one class."""

from collections.abc import Mapping, Sequence

import torch

LabelSets = Mapping[int, Sequence[int]]


def hidden_classes(label: torch.Tensor, label_sets: LabelSets, classes: int) -> torch.Tensor:
    """(B, 1, ...) -> (B, K): whether a voxel of the background may be of this class, which nobody annotated in this case.

    label_sets: of each number i the classes that may hide where the label is -1 - i; a case holds one such value at most.
    """
    table = torch.zeros(max(label_sets, default=-1) + 2, classes, dtype=torch.bool)
    for number, hidden in label_sets.items():
        table[number + 1, list(hidden)] = True
    return table.to(label.device)[-label.flatten(1).amin(1).clamp(max=0).long()]


def merge_hidden(
    logits: torch.Tensor, label: torch.Tensor, label_sets: LabelSets
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, K, ...) and (B, 1, ...) -> logits, of which softmax gives the background its own probability and those of the hidden
    classes together, and these 0; the label with the background in place of label sets; (B, K) which classes are hidden.

    A loss of these is the marginal loss of Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ
    segmentation", Medical Image Analysis 70, 2021 (arXiv:2007.03868). Where no class is hidden, nothing changes.
    """
    hidden = hidden_classes(label, label_sets, logits.shape[1])
    of_voxel = hidden.view(*hidden.shape, *[1] * (logits.dim() - 2))
    together = of_voxel.clone()
    together[:, 0] = True
    background = logits.masked_fill(~together, -torch.inf).logsumexp(1, keepdim=True)
    others = logits[:, 1:].masked_fill(of_voxel[:, 1:], -torch.inf)
    return torch.cat([background, others], 1), label.clamp(min=0), hidden


def mean_of_known(losses: torch.Tensor, known: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """(B, K), of which `known` count -> the mean over cases of the weighted means over classes; 0 of a case without any.

    weight: (K,), by which the losses are multiplied already.
    """
    counted = known.to(losses) if weight is None else known * weight.to(losses)
    return ((losses * known).sum(1) / counted.sum(1).clamp(min=torch.finfo(losses.dtype).tiny)).mean()
