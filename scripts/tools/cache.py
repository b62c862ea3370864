"""A folder of cached embeddings -> what lies in it, or an emptied one.

python -m scripts.tools.cache runs/mine/embeddings
python -m scripts.tools.cache runs/mine/embeddings --clear --older_than 30
"""

import argparse
import time
from collections import defaultdict
from datetime import date
from pathlib import Path

from scripts.data import EmbeddingStore

DAY = 24 * 60 * 60  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.tools.cache", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the cache_dir of a training")
    parser.add_argument("--clear", action="store_true", help="remove the entries listed")
    parser.add_argument("--older_than", type=float, default=0.0, metavar="DAYS", help="only entries computed before that")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"no folder {options.folder}")
    store = EmbeddingStore(options.folder)
    oldest = time.time() - options.older_than * DAY
    entries = [entry for entry in store.entries() if entry["modified"] <= oldest]
    groups = defaultdict(list)
    for entry in entries:
        groups["damaged" if entry.get("damaged") else f"encoder {entry['encoder'][:12]}, view {entry['view']}"].append(entry)
    for name, group in sorted(groups.items()):
        computed = date.fromtimestamp(max(entry["modified"] for entry in group))
        print(
            f"{len(group):6} entries {sum(entry['bytes'] for entry in group) / 1e9:9.3f} GB  {name}, last computed {computed}"
        )
    print(f"{len(entries):6} entries {sum(entry['bytes'] for entry in entries) / 1e9:9.3f} GB  in {options.folder}")
    if options.clear:
        for entry in entries:
            store.remove(entry["key"])
        print("removed")


if __name__ == "__main__":
    main()
