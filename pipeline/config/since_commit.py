"""In which parameters params.yaml differs from the last commit: an interrupted `dvc exp run -S …` leaves its values there."""

from pathlib import Path

import yaml

from pipeline.config.nested import KeyPath, walk
from pipeline.config.reader import find_merge, parse_yaml
from pipeline.runtime.git import ask_git
from pipeline.runtime.paths import PARAMS

_MOST_NAMED = 5
WAY_BACK = "if a run left that there, `git restore --staged --worktree params.yaml` takes it back"


def describe_changes(file: Path = PARAMS) -> str | None:
    """One line that names the parameters and says how to get back; None if nothing differs, or there is no commit."""
    committed = ask_git("show", f"HEAD:./{file}")
    try:
        now = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return None
    if committed is None or committed == now or find_merge(now):
        return None
    names = _list_changes(committed, now)
    if names == []:
        return None
    return f"params.yaml differs from the last commit{f' in {_shorten(names)}' if names else ''}: {WAY_BACK}"


def _list_changes(committed: str, now: str) -> list[str] | None:
    """Names of parameters; none where only comments differ. None: one of the texts is not YAML with sections."""
    try:
        before, after = parse_yaml(committed), parse_yaml(now)
    except yaml.YAMLError:
        return None
    if not isinstance(before, dict) or not isinstance(after, dict):
        return None
    old, new = _flatten(before), _flatten(after)
    return [
        ".".join(map(str, path))
        for path in [*new, *(path for path in old if path not in new)]
        if _differ(path, old, new)
    ]


def _flatten(values: dict[str, object]) -> dict[KeyPath, object]:
    return dict(walk(values))


def _differ(path: KeyPath, old: dict[KeyPath, object], new: dict[KeyPath, object]) -> bool:
    return path not in old or path not in new or old[path] != new[path]


def _shorten(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
