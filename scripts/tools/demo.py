"""Generated phantoms -> a training, masks of phantoms it has not seen, metrics and a picture, by the documented commands.

    python -m scripts.tools.demo --output_dir demo

Everything runs on a CPU in a few minutes, with SAM's ViT-B encoder filled with random weights. Exit code 1 if the mean Dice
on the unseen phantoms is below 0.85.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ..data.phantoms import write_phantoms

ROOT = Path(__file__).parents[2]
CASES = {"training": 16, "validation": 2, "test": 6}
WORST_MEAN_DICE = 0.85
PARTS = ("phantoms", "training", "masks", "evaluation")
MARKER = ".sam3d_demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("demo"), help="an earlier demo in it is removed")
    parser.add_argument("--max_epochs", type=int, help="overrides configs/datasets/phantoms.yaml")
    options = parser.parse_args()
    folder = options.output_dir.resolve()
    if (folder / MARKER).exists():
        for part in PARTS:
            shutil.rmtree(folder / part, ignore_errors=True)
    elif folder.exists() and any(folder.iterdir()):
        parser.error(f"{folder} is not empty and holds no earlier demo; choose another --output_dir")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("made by python -m scripts.tools.demo, which removes its folders here when it runs again\n")
    start = time.monotonic()
    write_phantoms(folder / "phantoms", CASES)
    shared = {"dataset_dir": folder / "phantoms", "encoder_weights": "random"}
    epochs = {} if options.max_epochs is None else {"max_epochs": options.max_epochs}
    trained = {**shared, "checkpoint": folder / "training" / "model.pt"}
    run(
        "training",
        ["train.json", "overlays/cached.yaml", "datasets/phantoms.yaml"],
        output_dir=folder / "training",
        **shared,
        **epochs,
    )
    run(
        "inference",
        ["inference.json", "datasets/phantoms.yaml"],
        input=folder / "phantoms" / "dataset.json",
        output_dir=folder / "masks",
        **trained,
    )
    run(
        "evaluating",
        ["train.json", "evaluate.json", "datasets/phantoms.yaml"],
        part="test",
        output_dir=folder / "evaluation",
        **trained,
    )
    mean_dice = json.loads((folder / "evaluation" / "metrics.json").read_text())["mean_dice"]
    print(
        f"\nDone in {time.monotonic() - start:.0f} s, with a RANDOM encoder (SAM's weights were not asked for).\n"
        f"  masks of unseen phantoms   {folder / 'masks'}\n"
        f"  metrics                    {folder / 'evaluation' / 'metrics.csv'} (summary: metrics.json)\n"
        f"  picture                    {folder / 'evaluation' / 'overlays.png'}\n"
        f"  mean Dice on {CASES['test']} unseen phantoms: {mean_dice:.3f}"
    )
    if mean_dice < WORST_MEAN_DICE:
        sys.exit(f"the mean Dice is below {WORST_MEAN_DICE}: something is wrong with this installation")


def run(run_id: str, configs: list[str], **options: object) -> None:
    """`python -m monai.bundle run`, printed as a user would type it; ends the demo where it fails."""
    files = "[" + ",".join(f"'configs/{config}'" for config in configs) + "]"
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    command = ["-m", "monai.bundle", "run", run_id, "--config_file", files, *arguments]
    print("\n$ python " + " ".join(f'"{word}"' if "[" in word else word for word in command), flush=True)
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
