"""The command `sam3d`, as a user runs it and, where only its answer matters, in this process."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from runs.conftest import bundle_run, environment, run_forked
from typer.main import get_command

from scripts.__main__ import app

__all__ = ["bundle_run", "environment"]

Shell = Callable[..., subprocess.CompletedProcess[str]]
Typed = Callable[..., str]


@pytest.fixture(scope="session")
def shell(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Runs a line in bash, where `sam3d` is this tree's; it must end with the exit code `code`."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "sam3d"
    script.write_text(  # as pip writes it
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from scripts.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    script.chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(line: str, cwd: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**environment, "PATH": path, **variables}
        result = subprocess.run(["bash", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
        assert result.returncode == code, result.stdout[-3000:] + result.stderr[-3000:]
        return result

    return run


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """As `shell`, for the line of one `sam3d`, which a process runs that is forked from one that has imported everything.

    code: None: any.
    """

    def run(line: str, cwd: Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        name, *words = shlex.split(line)
        assert name == "sam3d"
        result = run_forked(words, tmp_path_factory.mktemp("output"), module="scripts", folder=cwd)
        assert code is None or result.returncode == code, result.stdout[-3000:] + result.stderr[-3000:]
        return result

    return run


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """`sam3d WORDS` in this process; what it printed, or the words with which it ended if `fails`."""

    def run(*words: str | Path, fails: bool = False) -> str:
        with pytest.raises((SystemExit, ValueError)) as ended:
            get_command(app)([*map(str, words)], prog_name="sam3d")
        if isinstance(ended.value, ValueError):
            assert fails, ended.value
            return str(ended.value)
        captured = capsys.readouterr()
        assert (ended.value.code not in (0, None)) == fails, captured.err
        return captured.err if fails else captured.out

    return run
