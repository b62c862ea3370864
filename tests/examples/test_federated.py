"""docs/examples/federated: a site with a stand-in for NVFlare's connection, and the whole job where NVFlare is installed."""

import importlib.util
import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.basics.contracts import DIGEST_KEY
from scripts.networks import SAM3D

EXAMPLE = ROOT / "docs" / "examples" / "federated"
NARROW = ROOT / "tests" / "runs" / "narrow.yaml"
State = dict[str, torch.Tensor]


def global_network() -> SAM3D:
    return ConfigParser(ConfigParser.load_config_files([str(ROOT / "configs" / "train.json"), str(NARROW)])).get_parsed_content(
        "network_def"
    )


def train_site(arguments: list[str], received: list[State], sent: Path) -> None:
    """client.py, with what the server would send it; `sent` gets what it sends."""
    flare: Any = ModuleType("nvflare.client")
    models, answers = iter(received), []
    flare.init, flare.FLModel, flare.send = lambda: None, SimpleNamespace, answers.append
    flare.is_running = lambda: len(answers) < len(received)
    flare.receive = lambda: SimpleNamespace(params=next(models))
    sys.modules |= {"nvflare": ModuleType("nvflare"), "nvflare.client": flare}
    sys.argv = ["client.py", *arguments]
    spec = importlib.util.spec_from_file_location("client", EXAMPLE / "client.py")
    assert spec is not None and spec.loader is not None
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        client.main()
    finally:
        torch.save([(answer.params, answer.meta) for answer in answers], sent)


def test_only_what_is_trained_travels_and_another_encoder_is_refused(phantoms: Path, tmp_path: Path) -> None:
    network = global_network()
    first = network.state_dict()
    other = {**first, DIGEST_KEY: first[DIGEST_KEY].flip(0)}
    words = {"dataset_dir": phantoms, "output_dir": tmp_path / "site", "preset": NARROW, "network": "sam3d"}
    words |= {"rounds": 3, "steps": 2}
    arguments = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    place = tmp_path / "sent.pt"
    site = multiprocessing.get_context("fork").Process(target=train_site, args=(arguments, [first, first, other], place))
    site.start()
    site.join(300)
    assert site.exitcode == 1  # in the third round
    sent = torch.load(place, weights_only=True)
    assert [meta for _, meta in sent] == 2 * [{"NUM_STEPS_CURRENT_ROUND": 2}]
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    for state, _ in sent:
        assert state.keys() == {*trained, DIGEST_KEY}
        size = sum(tensor.nbytes for tensor in state.values())
        assert size == 4 * sum(parameter.numel() for parameter in trained.values()) + 32  # float32, and a sha256
        assert not torch.equal(state["decoder.heads.0.weight"], first["decoder.heads.0.weight"])
    everything = sum(parameter.numel() for parameter in network.parameters())
    assert sum(parameter.numel() for parameter in trained.values()) < everything
    left = {path.name for path in (tmp_path / "site").iterdir()}
    assert left == {".lock", "checked.json", "embeddings", "events", "report.json"}


@pytest.mark.slow
def test_two_sites_by_nvflare(phantoms: Path, tmp_path: Path) -> None:
    """python: of an environment with NVFlare and this bundle's requirements, in the variable SAM3D_NVFLARE_PYTHON."""
    python = os.environ.get("SAM3D_NVFLARE_PYTHON")
    if python is None:
        pytest.skip("SAM3D_NVFLARE_PYTHON names no Python that has nvflare==2.9.0")
    listed = json.loads((phantoms / "dataset.json").read_text())["training"]
    sites = [tmp_path / name for name in "ab"]
    for site, cases in zip(sites, (listed[:2], listed[2:]), strict=True):
        site.mkdir()
        (site / "dataset.json").write_text(json.dumps({"data": str(phantoms), "training": cases}))
    words = [
        python,
        EXAMPLE / "job.py",
        *sites,
        "--preset",
        NARROW,
        "--rounds",
        "2",
        "--steps",
        "2",
        "--output",
        tmp_path / "run",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run([*map(str, words)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    first, averaged = (torch.load(tmp_path / "run" / f"{name}.pt", weights_only=True) for name in ("first", "model"))
    assert averaged.keys() == first.keys()
    assert {name: tensor.dtype for name, tensor in averaged.items()} == {name: tensor.dtype for name, tensor in first.items()}
    assert not all(torch.equal(averaged[name], first[name]) for name in first)
    travelled = [int(size.replace(",", "")) for size in re.findall(r"\(([\d,]+) bytes\)", result.stdout + result.stderr)]
    whole = sum(tensor.nbytes for tensor in first.values())
    assert travelled and all(whole <= size < 1.01 * whole for size in travelled)
