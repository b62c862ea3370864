"""`python -m scripts.research.complexity` on toy sizes, as a user runs it, and its resuming."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from markdown_tables import read_tables

from scripts.research.complexity.__main__ import main, measure
from scripts.research.complexity.systems import QUICK, System

Tables = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def output(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complexity")
    words = ["-m", "scripts.research.complexity", "--quick", "--output", str(folder / "page.md"), "--plots", str(folder)]
    result = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def tables(output: Path) -> Tables:
    return read_tables((output / "page.md").read_text())


def test_the_page_has_its_command_tables_and_plots(output: Path, tables: Tables) -> None:
    assert "python -m scripts.research.complexity --quick --output" in (output / "page.md").read_text()
    assert list(tables) == [
        "Common claims, and where they hold",
        "Arithmetic",
        "The sum over stages",
        "Where attention starts to cost more arithmetic",
        "Time, s",
        "Peak memory, MB",
        "Arithmetic per second",
        "Exponents",
    ]
    plots = {path.name for path in output.glob("*.png")}
    assert plots == {f"complexity_{name}.png" for name in ("macs", "time", "memory")}
    assert all(f"]({name})" in (output / "page.md").read_text() for name in plots)


def test_the_counter_and_the_formulas_agree(tables: Tables) -> None:
    for row in tables["Arithmetic"]:
        for tokens in (24, 64):
            assert row[f"formula, T = {tokens}"] == row[f"counted, T = {tokens}"], row["decoder"]
    for row in tables["The sum over stages"]:
        assert (row["formula"], row["share"]) == (row["counted"], "25%")


def test_every_decoder_is_measured_at_every_size_of_both_sweeps(output: Path, tables: Tables) -> None:
    sizes = json.loads((output / "page.json").read_text())["sizes"]
    grids = [*QUICK.depth_grids, *QUICK.plane_grids]
    assert sizes.keys() == {str(grid) for grid in grids}
    for section, quantity, unit in (("Time, s", "seconds", 1), ("Peak memory, MB", "bytes", 1e6)):
        rows = tables[section]
        assert [row["h x w x D"] for row in rows] == [" x ".join(map(str, grid)) for grid in grids]
        for grid, row in zip(grids, rows, strict=True):
            for decoder, value in sizes[str(grid)][quantity].items():
                assert float(row[decoder]) == pytest.approx(value / unit, rel=0.06, abs=1e-4)


def test_what_was_measured_is_kept_when_a_later_size_fails_and_not_measured_again(tmp_path: Path) -> None:
    store, runs = tmp_path / "page.json", []
    study = replace(QUICK, depth_grids=((1, 1, 2), (1, 1, 3)), plane_grids=((1, 2, 2),))
    measured = {"sizes": {}}

    def run(embeddings: torch.Tensor) -> torch.Tensor:
        runs.append(tuple(embeddings.shape[2:]))
        if runs.count((1, 1, 3)) == 1:
            raise KeyboardInterrupt
        return embeddings

    decoders = {"toy": System(torch.nn.Identity(), run, lambda grid: 1.0)}
    with pytest.raises(KeyboardInterrupt):
        measure(decoders, study, "cpu", measured, store)
    before = json.loads(store.read_text())
    assert list(before["sizes"]) == ["(1, 1, 2)"]
    runs[:] = [(1, 1, 3)]  # the interruption is over
    measure(decoders, study, "cpu", before, store)
    assert set(runs) == {(1, 1, 3), (1, 2, 2)}
    assert list(json.loads(store.read_text())["sizes"]) == ["(1, 1, 2)", "(1, 1, 3)", "(1, 2, 2)"]


def test_resuming_with_other_options_is_refused_in_words(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["complexity", "--output", str(output / "page.md"), "--plots", str(output), "--resume", "--quick", "--repeats", "2"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "page.json was measured otherwise" in (message := capsys.readouterr().err) and "leave out --resume" in message
