"""Finds what parameters name on this machine; remembers what was found, and forgives what is gone since."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.sources.local_paths import resolve_path
from pipeline.sources.watching import (
    Seen,
    digest_content,
    digest_settings,
    is_absent,
    load_seen,
    load_watched,
    save_seen,
    watch,
)

_ELSEWHERE = ("http://", "https://", "doi:", "kaggle:")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """target: where it is on this machine; None if it is nowhere or not here. seen: what it is, or was when it was here."""

    target: Path | None
    seen: Seen


@dataclass
class Finder:
    """Collects what is found; `finish` writes it down, when all of it is."""

    found: dict[str, Found] = field(default_factory=dict)

    def find(
        self, name: str, path: str | None, settings: Mapping[str, object], locate: Callable[[], Path | None]
    ) -> Found:
        """name: source, labels, outside, exclude or relabel. path: as the parameter has it. settings: all that decides how
        it is read.

        Raises what `locate` raises, unless nothing is there and the same was read under the same settings before.
        """
        target = None if is_forgiven(name, path, settings) else locate()
        if target is not None:
            found = Found(target, Seen(digest_settings(settings), digest_content(name, target)))
        elif path and _is_known(name, settings):
            logger.warning("%s %r is not on this machine: what was read from it is still used", name, path)
            found = Found(None, load_seen(name))
        else:
            found = Found(None, Seen())
        self.found[name] = found
        return found

    def finish(self) -> None:
        """Writes what was seen, and what to watch from now on: also what is gone, if it was watched here before."""
        before = load_watched()
        targets = {}
        for name, found in self.found.items():
            save_seen(name, found.seen)
            if found.target is not None:
                targets[name] = found.target
            elif found.seen.content is not None and name in before:
                targets[name] = before[name]
        watch(targets)


def is_forgiven(name: str, path: str | None, settings: Mapping[str, object]) -> bool:
    """Whether nothing is at a path, and the same was read under the same settings before, here or by whoever committed it.

    Of labels never: they may also lie in the source.
    """
    if name == "labels" or not path or not _is_local(path):
        return False
    return _is_known(name, settings) and is_absent(resolve_path(path))


def _is_known(name: str, settings: Mapping[str, object]) -> bool:
    seen = load_seen(name)
    return seen.content is not None and seen.settings == digest_settings(settings)


def _is_local(path: str) -> bool:
    return not path.lower().startswith(_ELSEWHERE)
