"""TransUNet as it was published: its transformer is frozen in the first stage."""

from pathlib import Path

import torch
from runs.conftest import Command
from runs.test_training import stop_after
from runs.test_two_stage import TWO_STAGE

TRANSUNET = """
network_def:
  _target_: scripts.networks.AnySize
  multiple: [16, 16]
  network:
    {_target_: scripts.research.networks.transunet.TransUNet, in_channels: 1, out_channels: 4, width: 32, units: [1, 1, 1],
     hidden_size: 16, num_layers: 2, num_heads: 2, mlp_dim: 32, position_grid: 2, decoder_channels: [16, 16, 8, 8, 8]}
frozen_part: network.transformer
"""


def test_transunet_is_trained_without_its_transformer_and_then_with_it(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    transunet = tmp_path / "transunet.yaml"
    transunet.write_text(TRANSUNET)
    options = {"dataset_dir": phantoms, "output_dir": tmp_path / "run", "max_epochs": 2, "first_stage_epochs": 1}
    bundle_run("training", [*TWO_STAGE, stop_after(1, tmp_path)], last=[transunet], **options)
    first = torch.load(tmp_path / "run/last.pt", weights_only=True)
    bundle_run("training", TWO_STAGE, last=[transunet], resume=True, **options)
    second = torch.load(tmp_path / "run/last.pt", weights_only=True)
    transformer = [key for key in first["network"] if key.startswith("network.transformer.")]
    assert not any(torch.equal(first["network"][key], second["network"][key]) for key in transformer)
    assert len(second["optimizer"]["state"]) - len(first["optimizer"]["state"]) == len(transformer) > 0
