"""A folder of cached embeddings -> what lies in it, or an emptied one."""

import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from . import options

DAY = 24 * 60 * 60  # seconds


def cache(
    folder: Annotated[Path, typer.Argument(parser=options.folder, metavar="FOLDER", help="The cache of training runs.")],
    clear: Annotated[bool, typer.Option("--clear", help="Remove the entries that are listed.")] = False,
    older_than: Annotated[float, typer.Option(metavar="DAYS", min=0, help="Only entries computed before that.")] = 0,
) -> None:
    """List a folder of cached embeddings, or clear it.

    \b
        sam3d cache runs/mine/embeddings
        sam3d cache runs/mine/embeddings --clear --older-than 30
    """
    from ..data.embeddings.embedding_store import EmbeddingStore

    store = EmbeddingStore(folder)
    oldest = time.time() - older_than * DAY
    entries = [entry for entry in store.entries() if entry["modified"] <= oldest]
    groups = defaultdict(list)
    for entry in entries:
        groups["damaged" if entry.get("damaged") else f"encoder {entry['encoder'][:12]}, view {entry['view']}"].append(entry)
    for name, group in sorted(groups.items()):
        computed = date.fromtimestamp(max(entry["modified"] for entry in group))
        print(f"{_size(group)}  {name}, last computed {computed}")
    print(f"{_size(entries)}  in {folder}")
    if clear:
        for entry in entries:
            store.remove(entry["key"])
        print("removed")


def _size(entries: list[dict]) -> str:
    return f"{len(entries):6} entries {sum(entry['bytes'] for entry in entries) / 1e9:9.3f} GB"
