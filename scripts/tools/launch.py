"""`sam3d` of an installed bundle: the package `scripts`, which the configs name, is the one that this file lies in."""

import sys
from pathlib import Path


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from scripts.__main__ import main

    main()
