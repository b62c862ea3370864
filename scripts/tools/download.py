"""large_files.yml -> the files it lists, in this bundle's folder, each verified by its sha256.

    python -m scripts.tools.download
    python -m scripts.tools.download --only sam_vit_b_01ec64.pth --output_dir /data/sam3d

A file that is there and undamaged is not fetched again.
"""

import argparse
import logging
import sys
from pathlib import Path

from ..weights.download import download, read_large_files


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tools.download", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large_files", type=Path, default=Path("large_files.yml"), help="the list")
    parser.add_argument("--only", metavar="NAME", help="one file of the list, without its folder")
    parser.add_argument("--output_dir", type=Path, default=Path("."), help="the folder that the paths in the list start from")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        files = read_large_files(options.large_files)
        chosen = [file for file in files if options.only in (None, file.path.name)]
        if not chosen:
            names = ", ".join(file.path.name for file in files)
            raise ValueError(f"{options.large_files} lists no {options.only}, only {names}")
        for file in chosen:
            download(file, options.output_dir)
    except (OSError, ValueError) as error:
        sys.exit(f"ERROR: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted, and nothing kept; the same command starts again")


if __name__ == "__main__":
    main()
