"""Pictures whose names are made of the name of another beside them and a word: 1_mask.png, 1_flipped_2.jpg beside 1.jpg."""

import re
from collections.abc import Callable, Iterable

from pipeline.sources.tree import is_picture

_SHORTEST = 4  # letters of a word that begins another: maskcrop
_LAST_WORD = re.compile(r"[ ._-]+([A-Za-z]+)(?:[ ._-]?\d+)?$")


def find_derived(names: Iterable[str], means: Callable[[str], bool]) -> set[str]:
    """names: paths with /. means: whether a last word, in any case, makes a name of another's. Other extensions count too."""
    pictures = [name for name in names if is_picture(name)]
    named = {name: originals for name in pictures if (originals := _find_originals(name, means))}
    wanted = {original for originals in named.values() for original in originals}
    known = {stem for name in pictures if (stem := _drop_extension(name)) in wanted} if wanted else set()
    return {name for name, originals in named.items() if not known.isdisjoint(originals)}


def _find_originals(name: str, means: Callable[[str], bool]) -> list[str]:
    """Paths, without extension, of the pictures that a name may be made of: 1 of 1_mask, and 1_crop of 1_maskcrop."""
    path = _drop_extension(name)
    last = _LAST_WORD.search(path)
    if last is None:
        return []
    if means(last[1]):
        return [path[: last.start()]]
    word, start = last[1], last.start(1)
    return [path[:start] + word[end:] for end in range(_SHORTEST, len(word) - 1) if means(word[:end])]


def _drop_extension(name: str) -> str:
    return name.rpartition(".")[0]
