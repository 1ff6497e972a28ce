"""Whether an experiment's metrics are of its own settings. One that ended before the report keeps those of the commit that it
began on, as after `dvc exp run … train@x`, or `dvc exp save` without a run. dvc.lock says what the report has seen."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import yaml

from pipeline.config.reader import parse_yaml
from pipeline.report.held_out_sets import find_digest
from pipeline.report.run_facts import flatten
from pipeline.runtime.paths import MODELS, PARAMS, SPLITS

_REPORT = re.compile(r"^  report:\n(?: {4}.*\n)+", re.MULTILINE)


def find_staleness(lock: str, params: Mapping[str, Any], families: Iterable[str]) -> str | None:
    """Why the metrics can't be of these parameters, or None.

    lock: the text of dvc.lock. params: by their dotted names. families: those in the summary.
    """
    seen = _read_seen(lock)
    changed = [name for name, value in seen.items() if name in params and not _is_same(value, params[name])]
    if changed:
        return f"its metrics are of a run with another {changed[0]}: it ended before `report`; run all of it"
    written, read = find_digest(lock, SPLITS, "split"), find_digest(lock, SPLITS, "report")
    if written != read:
        return "its metrics are of a run with other splits: it ended before `report`; run all of it"
    for family in families:
        file = MODELS / f"{family}.keras"
        if find_digest(lock, file, f"train@{family}") != find_digest(lock, file, f"evaluate@{family}"):
            return f"its metrics are of another model {family}: it ended before `evaluate`; run all of it"
    return None


def _read_seen(lock: str) -> Mapping[str, Any]:
    """The parameters with which the report was made."""
    found = _REPORT.search(lock)
    return _parse(found[0]) if found else {}


@cache
def _parse(section: str) -> dict[str, Any]:
    """Of the report in dvc.lock: most experiments have the same."""
    try:
        stage = parse_yaml(section)["report"]
        return flatten(stage.get("params", {}).get(PARAMS.name, {}))
    except (yaml.YAMLError, AttributeError, TypeError, KeyError):  # not written by DVC
        return {}


def _is_same(old: Any, new: Any) -> bool:
    """DVC writes 1e-05 as text."""
    try:
        return old == new or float(old) == float(new)
    except (TypeError, ValueError):
        return False
