"""Command lines: `python -m scripts.tools.NAME`."""
