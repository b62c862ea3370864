"""A training run killed again and again -> what is left each time, and whether it ends as one that was left alone.

    python -m scripts.research.kill_study --kills 200 --output_dir kills

Phantoms, cached embeddings and a narrow network with random weights; kill -9, in turns at a random moment and while a file is
being written. After each kill every file is read, and the run resumed. A complete one is compared with the run that was left
alone, byte by byte, and the next one begun. The same command goes on with a study that was interrupted.
"""

import argparse
import filecmp
import json
import shutil
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..data.phantoms import write_phantoms
from ..files.checkpoint_file import read_checkpoint
from ..files.unreadable_files import unreadable_files
from ..run.warm_bundle import BUNDLE_ROOT, start_bundle
from .measure import markdown_section

OVERLAY = """\
labels: {"0": background, "1": liver, "2": kidney, "3": vessel}
encoder_variant: {embed_dim: 32, depth: 3, num_heads: 2, global_attn_indexes: [1]}
encoder_weights: random
network_def#decoder#channels: [16, 8, 8, 4]
spatial_size: [32, 32]
roi_depth: 8
max_epochs: 8
val_interval: 1
num_workers: 0
"""
CONFIGS = ("train.json", "overlays/cached.yaml")
STATE = ("last.pt", "model.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    print(kill_study(options.output_dir.resolve(), options.kills, options.seed))


def kill_study(folder: Path, kills: int, seed: int = 0) -> str:
    """The table. `folder` keeps a line of JSON for each kill and each complete training, in progress.jsonl.

    The training that the last kill met is completed too.
    """
    _prepare(folder)
    progress = folder / "progress.jsonl"
    seconds = json.loads((folder / "left_alone.json").read_text())["seconds"]
    with tqdm(total=kills, unit="kill", dynamic_ncols=True) as bar:
        while True:
            events = list(_read(progress))
            bar.update(sum("kill" in event for event in events) - bar.n)
            if bar.n >= kills and not (folder / "killed").exists():
                return _table(events)
            generator = np.random.default_rng([seed, len(events)])
            with progress.open("a") as file:
                for event in _kill(folder, bar.n, generator, seconds) if bar.n < kills else _complete(folder):
                    file.write(json.dumps(event) + "\n")


def _prepare(folder: Path) -> None:
    """Data, settings and the training that is left alone, unless an earlier study has made them."""
    if (folder / "left_alone.json").exists():
        return
    shutil.rmtree(folder / "left_alone", ignore_errors=True)
    write_phantoms(folder / "phantoms", {"training": 4, "validation": 2}, shape=(32, 28, 12))
    (folder / "narrow.yaml").write_text(OVERLAY)
    _train(folder, "left_alone").join()  # imports everything
    shutil.rmtree(folder / "left_alone")
    start = time.monotonic()
    process = _train(folder, "left_alone")
    process.join()
    _check(process, folder)
    (folder / "left_alone.json").write_text(json.dumps({"seconds": time.monotonic() - start}))


def _train(folder: Path, name: str) -> BaseProcess:
    configs = [*(str(BUNDLE_ROOT / "configs" / name) for name in CONFIGS), str(folder / "narrow.yaml")]
    options = {
        "config_file": configs,
        "bundle_root": BUNDLE_ROOT,
        "dataset_dir": folder / "phantoms",
        "output_dir": folder / name,
        "resume": (folder / name / "last.pt").exists(),
    }
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    return start_bundle(["run", "training", *words], folder / "log.txt")


def _kill(folder: Path, number: int, generator: np.random.Generator, longest: float) -> Iterator[dict[str, Any]]:
    """Starts or resumes the training and kills it, if it does not end before."""
    killed = folder / "killed"
    while_saving = number % 2 == 1
    process, start = _train(folder, "killed"), time.monotonic()
    try:
        if while_saving:
            _wait_for_saving(process, killed, times=int(generator.integers(1, 6)))
            time.sleep(generator.uniform(0, 0.003))
        else:
            process.join(generator.uniform(0, longest))
    finally:
        process.kill()
        process.join()
    _check(process, folder)
    state = read_checkpoint(killed / "last.pt") if (killed / "last.pt").exists() else {"epoch": 0, "complete": False}
    if process.exitcode:
        yield {
            "kill": number + 1,
            "while_saving": while_saving,
            "after_seconds": round(time.monotonic() - start, 3),
            "epoch": state["epoch"],
            "cut_short": [path.name for path in _being_written(process, killed)],
            "unreadable": list(unreadable_files(killed)),
        }
    if state["complete"]:
        yield from _compare(folder)


def _complete(folder: Path) -> Iterator[dict[str, Any]]:
    process = _train(folder, "killed")
    process.join()
    _check(process, folder)
    yield from _compare(folder)


def _check(process: BaseProcess, folder: Path) -> None:
    if (process.exitcode or 0) > 0:  # killed processes have a negative one
        raise RuntimeError(f"the training ended with exit code {process.exitcode}, see {folder / 'log.txt'}")


def _compare(folder: Path) -> Iterator[dict[str, Any]]:
    """The names of the equal files; the training is removed then."""
    pairs = ((name, folder / "killed" / name, folder / "left_alone" / name) for name in STATE)
    yield {"complete": [name for name, killed, left_alone in pairs if filecmp.cmp(killed, left_alone, shallow=False)]}
    shutil.rmtree(folder / "killed")


def _wait_for_saving(process: BaseProcess, folder: Path, times: int) -> None:
    """Until the process has begun to write that many files, or has ended."""
    writes = False
    while times and process.is_alive():
        wrote, writes = writes, any(_being_written(process, folder))
        times -= writes and not wrote


def _being_written(process: BaseProcess, folder: Path) -> Iterator[Path]:
    return folder.rglob(f".partial.*.{process.pid}.*")


def _read(progress: Path) -> Iterator[dict[str, Any]]:
    """The lines; the last one only if it was written to its end."""
    for line in progress.read_text().splitlines(keepends=True) if progress.exists() else ():
        if line.endswith("\n"):
            yield json.loads(line)


def _killed_and_completed(events: list[dict[str, Any]]) -> list[list[str]]:
    """The equal files of each training that was killed at least once; one that ended before its first kill shows nothing."""
    pairs = zip([{}, *events], events, strict=False)
    return [event["complete"] for before, event in pairs if "complete" in event and "kill" in before]


def _table(events: list[dict[str, Any]]) -> str:
    kills = [event for event in events if "kill" in event]
    complete = _killed_and_completed(events)
    row = {
        "kills": len(kills),
        "at a random moment": sum(not kill["while_saving"] for kill in kills),
        "while a file was written": sum(kill["while_saving"] for kill in kills),
        "that cut a file short": sum(bool(kill["cut_short"]) for kill in kills),
        "files unreadable": sum(len(kill["unreadable"]) for kill in kills),
        "killed runs completed": len(complete),
        "of which end as the one left alone": sum(len(names) == len(STATE) for names in complete),
    }
    return markdown_section(
        "Kills", "last.pt and model.pt are compared byte by byte.", list(row), [[str(value) for value in row.values()]]
    )


if __name__ == "__main__":
    main()
