"""`python -m scripts.research.benchmark` on toy sizes, as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from markdown_tables import read_tables

from scripts.research.benchmark.__main__ import SECTIONS, main
from scripts.research.benchmark.tuning import WAYS


def benchmark(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.research.benchmark", "--quick", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def output(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of everything but the section of the peers, which has no toy sizes small enough."""
    folder = tmp_path_factory.mktemp("benchmark")
    names = ",".join(name for name in SECTIONS if name != "peers")
    result = benchmark(environment, "--only", names, "--output", str(folder / "benchmark.md"), "--plots", str(folder))
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout == ""
    return folder


def test_every_section_has_a_table_and_the_header_says_where_and_when(output: Path) -> None:
    markdown = (output / "benchmark.md").read_text()
    assert list(read_tables(markdown)) == [
        "Encoder",
        "Encoders",
        "Global attention",
        "Whole forward",
        "Training step",
        "Decoder",
        "Detail",
        "Memory in D",
        "Size",
        "Reading while computing",
        "Tuning",
    ]
    header = markdown.splitlines()[0]
    assert all(word in header for word in ("cores", "threads", "torch", "--quick", "medians of 1"))


def test_what_is_compared_computes_the_same(output: Path) -> None:
    found = read_tables((output / "benchmark.md").read_text())
    for section, limit in {"Encoder": 1e-5, "Whole forward": 1e-4, "Memory in D": 1e-4}.items():
        assert all(float(row["difference"]) <= limit for row in found[section]), section


def test_ratios_are_those_of_the_figures_beside_them(output: Path) -> None:
    found = read_tables((output / "benchmark.md").read_text())
    for row in found["Encoder"]:
        expected = float(row["ours, slices/s"]) / float(row["segment_anything, slices/s"])
        assert float(row["ratio"]) == pytest.approx(expected, rel=0.02)
    for row in found["Encoders"]:
        assert float(row["ratio"]) == pytest.approx(float(row["SAM ViT-B"]) / float(row["MobileSAM"]), rel=0.02)
    for section, reference in {"Whole forward": "ratio to ours", "Training step": "ratio to cached"}.items():
        for row in found[section]:
            expected = float(row["time, s"]) / float(found[section][0]["time, s"])
            assert float(row[reference]) == pytest.approx(expected, rel=0.03)


def test_the_ways_to_tune_the_encoder_train_and_save_what_they_say(output: Path) -> None:
    rows = {row["way"]: row for row in read_tables((output / "benchmark.md").read_text())["Tuning"]}
    assert [*rows] == [*WAYS]
    for row in rows.values():  # fp32: four bytes each, and a digest
        assert float(row["checkpoint, MB"]) == pytest.approx(4 * float(row["trained, M"]), rel=0.01)
        assert float(row["peak memory, GB"]) > 0
        assert float(row["step, s"]) > 0


def test_size_is_drawn_against_depth_and_plane(output: Path) -> None:
    assert sorted(path.name for path in output.glob("*.png")) == ["growth_depth.png", "growth_plane.png"]


@pytest.mark.slow
def test_peers_are_printed_with_ratios_to_ours(environment: dict[str, str]) -> None:
    result = benchmark(environment, "--only", "peers")
    assert result.returncode == 0, result.stderr[-3000:]
    rows = read_tables(result.stdout)["Other networks"]
    assert [row["network"].split(",")[0] for row in rows] == [
        "ours",
        "UNet",
        "SegResNet",
        "DynUNet",
        "UNETR",
        "SwinUNETR",
        "SwinUNETR",
        "BasicUNetPlusPlus",
    ]
    assert float(rows[0]["trained"]) < float(rows[0]["parameters"])  # the frozen encoder


def test_an_unknown_section_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--only", "encoder,speed"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert (
        "--only knows encoder, encoders, attention, forward" in (message := capsys.readouterr().err) and "got speed" in message
    )
