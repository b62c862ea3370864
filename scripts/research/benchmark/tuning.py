"""Ways to train the slice encoder -> what each trains and saves, and the time and memory of its step."""

import time
from functools import partial
from typing import Any

import torch
from monai.losses import DiceCELoss

from ...losses import DeepSupervision
from ...networks import SAM3D, parameter_groups
from ..measure import interleaved_medians, markdown_section, peak_memory
from .setting import Setting

# As the overlays of these names have them.
WAYS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "last_blocks": {"trained_blocks": 2},
    "lora": {"lora_rank": 4},
    "depth_adapter": {"adapter_width": 32},
    "train_encoder": {"trainable": True},
}


def tuning(setting: Setting) -> str:
    networks = {name: SAM3D(*setting.parts(**options)).train() for name, options in WAYS.items()}
    plane, depth = setting.tuning_shape
    volume = setting.volume(plane, depth)
    runs = {name: partial(_step, network, volume, setting.classes) for name, network in networks.items()}
    seconds = interleaved_medians(runs, setting.repeats, clock=time.process_time)
    rows = []
    for name, network in networks.items():
        trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
        saved = sum(tensor.nbytes for tensor in network.state_dict().values())
        peak = peak_memory(runs[name], partial(_step, network, volume[..., :2], setting.classes), setting.device)
        rows.append([name, trained / 1e6, saved / 1e6, peak / 1e9, seconds[name], seconds[name] / seconds["frozen"]])
    return markdown_section(
        "Tuning",
        f"A training step of a volume 1 x 1 x {plane} x {plane} x {depth}: encoder, decoder, loss at four stages, backward, "
        f"AdamW. K = {setting.classes}. Memory above weights and input; time is that of the processor. The checkpoint is "
        "`model.pt`.",
        ["way", "trained, M", "checkpoint, MB", "peak memory, GB", "step, s", "ratio to frozen"],
        rows,
    )


def _step(network: SAM3D, volume: torch.Tensor, classes: int) -> None:
    loss = DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), [8 / 15, 4 / 15, 2 / 15, 1 / 15])
    optimizer = torch.optim.AdamW(parameter_groups(network, learning_rate=0.0))
    logits = network(volume)
    assert isinstance(logits, list)  # in training
    loss(logits, (classes * volume).long()).backward()
    optimizer.step()
    optimizer.zero_grad()
