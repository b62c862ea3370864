"""A dataset folder -> a preset to lay over train.json, with the reason for each number.

python -m scripts.tools.preset DATA --output configs/datasets/mine.yaml
"""

import argparse
import shlex
import sys
from pathlib import Path

from scripts.data.onboarding.measure_dataset import measure_dataset
from scripts.data.onboarding.propose_preset import propose_preset
from scripts.files.atomic_write import atomic_write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.tools.preset", description=__doc__.splitlines()[0])
    parser.add_argument("dataset_dir", type=Path, help="the folder with dataset.json")
    parser.add_argument("--output", type=Path, default=Path("mine.yaml"), help="the preset, mine.yaml if not given")
    options = parser.parse_args()
    if options.output.suffix not in (".yaml", ".yml"):
        parser.error(f"the preset must be a .yaml file, got {options.output}")
    if options.output.exists():
        parser.error(f"{options.output} is there already and may have been edited; remove it or choose another --output")
    try:
        text = propose_preset(measure_dataset(options.dataset_dir))
    except (ValueError, OSError) as error:
        sys.exit(f"{error}\nnothing was written")
    with atomic_write(options.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    configs = f"['configs/train.json','configs/overlays/cached.yaml','{options.output}']"
    command = f'python -m monai.bundle run training --config_file "{configs}"'
    print(f"{text}\nwrote {options.output}; read it, change what you know better, then from the bundle's folder:")
    print(f"{command} --dataset_dir {shlex.quote(str(options.dataset_dir))} --output_dir runs/mine")


if __name__ == "__main__":
    main()
