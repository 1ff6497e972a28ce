"""What the page says of how the source was read: its classes, its splits, what was left out, and what leaks between splits."""

from typing import Any

from pipeline.data.manifest import read_table
from pipeline.data.raw import load_facts
from pipeline.data.splits import SPLIT_NAMES, load_splits
from pipeline.runtime.paths import LEAKS
from pipeline.sources.reading import ReadingFacts

_CLASSES = 60  # named with their counts
_LEAKS = 10  # rows of the table
_LINES = 20  # of warnings, of what was left out


def describe_reading(group: str) -> dict[str, Any]:
    """`reading`: None for a source that has nothing to decide, such as drawn pictures. `leaks`: of its own splits; `num_leaks`:
    images of test and val that training has nearly seen; `num_copies_held`: of those whose copies were taken out of training.
    `num_groups`: of images that belong together, None if there are none. group: as split.group."""
    reading = load_facts().get("reading")
    leaks = read_table(LEAKS, dtype="str", keep_default_na=False)
    splits, is_copy = load_splits(columns=["split", "group"]), leaks["kind"] == "copy"
    return {
        "reading": reading and _shorten(reading),
        "num_leaks": {name: int((~is_copy & (leaks["split"] == name)).sum()) for name in ("test", "val")},
        "num_copies_held": int(is_copy.sum()),
        "leaks": leaks.sort_values("kind", key=lambda kinds: kinds == "copy", kind="stable")
        .head(_LEAKS)
        .to_dict("records"),
        "group": group,
        "num_groups": splits["group"].nunique() if "group" in splits else None,
        "largest_group": int(splits["group"].value_counts().max()) if "group" in splits else None,
    }


def _shorten(reading: ReadingFacts) -> dict[str, Any]:
    """With how many are not shown: `more_<name>`. Splits are in the order of their use."""
    return {
        **reading,
        "num_classes": len(reading["classes"]),
        "splits": {name: reading["splits"][name] for name in SPLIT_NAMES if name in reading["splits"]},
        "classes": dict(list(reading["classes"].items())[:_CLASSES]),
        "more_classes": max(0, len(reading["classes"]) - _CLASSES),
        "warnings": reading["warnings"][:_LINES],
        "more_warnings": max(0, len(reading["warnings"]) - _LINES),
        "left_out": reading["left_out"][:_LINES],
        "more_left_out": max(0, len(reading["left_out"]) - _LINES),
    }
