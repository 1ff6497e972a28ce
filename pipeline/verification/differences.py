"""The first difference between two files, in words."""

import zipfile
from itertools import zip_longest
from pathlib import Path

import numpy as np

_WIDTH = 48  # characters of a line that are shown
_BLOCK = 1 << 20


def describe_first_difference(mine: Path, theirs: Path, suffix: str) -> str:
    """Where two files that differ do so first. mine: the new one. suffix: of the name, which a file in DVC's cache has lost."""
    describe = {".keras": _compare_archives, ".npy": _compare_arrays}.get(suffix, _compare_texts)
    try:
        found = describe(mine, theirs)
    except Exception:  # damaged: readers raise whatever type that leads to
        found = None
    return found or _compare_bytes(mine, theirs)


def _compare_archives(mine: Path, theirs: Path) -> str | None:
    with zipfile.ZipFile(mine) as new, zipfile.ZipFile(theirs) as old:
        names = sorted({*new.namelist(), *old.namelist()})
        for name in names:
            if name not in new.namelist() or name not in old.namelist():
                return f"member {name} is {'missing' if name not in new.namelist() else 'new'}"
            if new.read(name) != old.read(name):
                return f"member {name}: {_find_bytes(new.read(name), old.read(name))}"
    return None


def _compare_arrays(mine: Path, theirs: Path) -> str | None:
    new, old = (np.load(file, mmap_mode="r", allow_pickle=False) for file in (mine, theirs))
    if (new.shape, new.dtype) != (old.shape, old.dtype):
        return f"{new.dtype} {new.shape} instead of {old.dtype} {old.shape}"
    differs = (new != old) & ~((new != new) & (old != old))  # not a number is the same as not a number
    rows = np.flatnonzero(differs.reshape(len(new), -1).any(axis=1)) if new.ndim else np.flatnonzero(differs)
    if not len(rows):
        return None
    apart = np.abs(new[differs].astype("float64") - old[differs].astype("float64"))
    return f"row {rows[0]:,} ({len(rows):,} of {len(new):,} rows), by {apart.max():.3g} at most"


def _compare_texts(mine: Path, theirs: Path) -> str | None:
    """None where a line is no text."""
    with mine.open("rb") as new, theirs.open("rb") as old:
        for number, (one, other) in enumerate(zip_longest(new, old), 1):
            if one != other:
                texts = [None if line is None else line.decode("utf-8").rstrip("\n") for line in (one, other)]
                if texts[0] == texts[1] or any("\0" in text for text in texts if text):
                    return None
                return f"line {number:,}: {_cut(texts[0], texts[1])} instead of {_cut(texts[1], texts[0])}"
    return None


def _cut(text: str | None, other: str | None) -> str:
    """The part of a line in which it begins to differ."""
    if text is None:
        return "nothing"
    same = next((i for i, (a, b) in enumerate(zip(text, other or "", strict=False)) if a != b), 0)
    start = max(0, same - _WIDTH // 3) if len(text) > _WIDTH else 0
    end = start + _WIDTH
    return f"{'…' if start else ''}{text[start:end]!r}{'…' if end < len(text) else ''}"


def _compare_bytes(mine: Path, theirs: Path) -> str:
    offset = 0
    with mine.open("rb") as new, theirs.open("rb") as old:
        while (one := new.read(_BLOCK)) == (other := old.read(_BLOCK)):
            if not one:
                return "no difference"
            offset += len(one)
    return _find_bytes(one, other, offset)


def _find_bytes(new: bytes, old: bytes, offset: int = 0) -> str:
    first = next((i for i, (a, b) in enumerate(zip(new, old, strict=False)) if a != b), min(len(new), len(old)))
    return f"byte {offset + first:,}"
