"""docs/networks.md, "Your own": the three steps, done to a copy of the bundle."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

PAGE = ROOT / "docs" / "networks.md"


def test_a_network_is_added_by_one_file_one_overlay_and_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    ignored = shutil.ignore_patterns("__pycache__", ".*cache")
    for part in ("configs", "scripts", "tests"):
        shutil.copytree(ROOT / part, bundle / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", bundle)
    text = PAGE.read_text().split("## Your own")[1]
    (module, code), (overlay, config) = re.findall(r"`(\S+)`:\s+```\w+\n(.*?)```", text, re.DOTALL)
    (bundle / module).write_text(code)
    (bundle / overlay).write_text(config)
    line = re.findall(r"```python\n(    \".*\n)```", text)[0]
    tests = bundle / "tests" / "research" / "runs" / "test_networks.py"
    tests.write_text(tests.read_text().replace("] = {\n", "] = {\n" + line, 1))
    name = Path(overlay).stem
    test_file = "tests/research/runs/test_networks.py"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        f"({name} and not full) or is_tested",
        test_file,
    ]
    result = subprocess.run(
        [*command, "tests/research/runs/test_networks.py"],
        cwd=bundle,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "2 passed" in result.stdout, result.stdout[-3000:]
