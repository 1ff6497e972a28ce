"""Pictures whose names are made of the name of another beside them and a word: 1_mask.png, 1_flipped_2.jpg beside 1.jpg."""

import re
from collections.abc import Callable, Iterable

from pipeline.sources.tree import is_picture

_LAST_WORD = re.compile(r"[ ._-]+([A-Za-z]+)(?:[ ._-]?\d+)?$")


def find_derived(names: Iterable[str], means: Callable[[str], bool]) -> set[str]:
    """names: paths with /. means: whether a last word, in any case, makes a name of another's. Other extensions count too."""
    pictures = [name for name in names if is_picture(name)]
    named = {name: original for name in pictures if (original := _find_original(name, means))}
    wanted = set(named.values())
    known = {stem for name in pictures if (stem := _drop_extension(name)) in wanted} if wanted else set()
    return {name for name, original in named.items() if original in known}


def _find_original(name: str, means: Callable[[str], bool]) -> str:
    """The path, without extension, of the picture that a name is made of. Empty if there is none."""
    path = _drop_extension(name)
    last = _LAST_WORD.search(path)
    return path[: last.start()] if last and means(last[1]) else ""


def _drop_extension(name: str) -> str:
    return name.rpartition(".")[0]
