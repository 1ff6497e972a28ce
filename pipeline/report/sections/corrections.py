"""What the page says of pictures that the user's own files left out or labelled anew, and of those that thinning left out."""

from collections import Counter
from typing import Any

import pandas as pd

from pipeline.data.corrections import load_corrections_table
from pipeline.data.manifest import load_manifest
from pipeline.data.splits import load_splits
from pipeline.runtime.paths import DUPLICATES

_ROWS = 20
_WORDS = {"exclude": "left out", "relabel": "labelled anew", "keep": "label confirmed"}


def describe_corrections() -> dict[str, Any]:
    """`corrections`: None where no file changed anything. `num_thinned`: images of training that prune.thin left out."""
    table = load_corrections_table()
    left_out = pd.read_csv(DUPLICATES, dtype="str", keep_default_na=False)["split"].eq("").sum()
    used, placed = len(load_manifest(columns=["label"])), len(load_splits(columns=["split"]))
    return {
        "corrections": None if table.empty else _summarize(table),
        "num_thinned": used - placed - int(left_out),
    }


def _summarize(table: pd.DataFrame) -> dict[str, Any]:
    """files: each with what it did, in words. rows: the first that changed something."""
    changed = table[table["action"] != "keep"]
    return {
        "num_excluded": int((table["action"] == "exclude").sum()),
        "num_relabelled": int((table["action"] == "relabel").sum()),
        "files": [(str(file), _count(part["action"])) for file, part in table.groupby("file", sort=True)],
        "rows": changed.head(_ROWS).to_dict("records"),
        "more": max(0, len(changed) - _ROWS),
    }


def _count(actions: pd.Series) -> str:
    """Such as "2 left out, 1 label confirmed"."""
    return ", ".join(f"{count:,} {_WORDS[action]}" for action, count in sorted(Counter(actions).items()))
