"""Copies inside a source, which Kaggle's archives often have: the whole set once more, or a class made of others' pictures."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice

from pipeline.sources.tree import Folder

_SAMPLE = 16  # pictures whose bytes are compared, spread over all
_MIN_BYTES = 512  # a smaller file is no more than a placeholder, which many classes may share
_MAX_CANDIDATES = 64  # files of one size that are compared with one picture

_First = tuple[str, int | None]  # a picture's path below a folder, and its size if it is known


@dataclass(frozen=True)
class Contents:
    """What is known of the files besides their paths.

    sizes: bytes by path; empty if unknown, and then nothing counts as a copy. identify: a value that two files share only if
    their bytes are the same, such as a digest; None: equal names and sizes are enough, if sizes vary.
    """

    sizes: Mapping[str, int]
    identify: Callable[[str], Hashable] | None = None

    def are_copies(self, pairs: list[tuple[str, str]]) -> bool:
        """Whether each first file is a copy of its second. All sizes are compared, and the bytes of a sample."""
        if not pairs or any(self.sizes.get(a, -1) != self.sizes.get(b, -2) for a, b in pairs):
            return False
        if self.identify is None:
            return len({self.sizes[a] for a, _ in pairs}) > len(pairs) // 2
        return all(self.identify(a) == self.identify(b) for a, b in _take_sample(pairs))


def _take_sample(items: list) -> list:
    step = max(1, len(items) // _SAMPLE)
    return items[::step][:_SAMPLE]


def enter(folder: Folder) -> Folder:
    """The folder in which a copy begins: doubled names and single wrappers are passed through."""
    while folder.only_below() and len(folder.filled) == 1:
        inner = folder.filled[0]
        if not inner.filled:
            break
        folder = inner
    return folder


def find_nested_copy(level: Folder, contents: Contents) -> tuple[Folder, list[Folder], bool] | None:
    """A folder in `level` that holds the same folders as its neighbours, or as one of them.

    Returns it, those whose folders it repeats, and whether all its pictures are copies of theirs. A folder that repeats one
    neighbour only counts if it is a copy: folds and parts look alike.
    """
    partial = None
    folders = {folder.name: folder for folder in level.filled}
    cores = {name: enter(folder) for name, folder in folders.items()}
    names_of = {name: frozenset(core.filled_names) for name, core in cores.items()}
    several = [folder for folder in folders.values() if len(names_of[folder.name]) > 1 and folder.only_below()]
    if not several:
        return None
    alike = Counter(names_of.values())
    known = set(level.list_pictures())
    holders = _index_first([cores[folder.name] for folder in several], cores, contents)
    for folder in sorted(several, key=lambda found: (-_depth(found), found.name)):
        core, names = cores[folder.name], names_of[folder.name]
        if folder.name not in names and names <= folders.keys():
            originals = [folders[name] for name in sorted(names)]
            if _repeats(core, level, known, contents):
                return folder, originals, True
            # Not of patients 0, 1 and 2 that each hold the classes 0 and 1: all are alike.
            if 2 * (alike[names] - 1) < len(folders) - 1:
                partial = folder, originals, False
        for other in holders[_find_first(core, contents)]:
            if other != folder.name and names <= names_of[other] and _repeats(core, cores[other], known, contents):
                return folder, [folders[other]], True
    return partial


def _index_first(copies: list[Folder], cores: Mapping[str, Folder], contents: Contents) -> dict[_First, list[str]]:
    """Which folders have the first picture of any of these at the same place, of the same size. One look at each picture, as
    each folder beside each other would be a million for a thousand."""
    holders: dict[_First, list[str]] = {_find_first(core, contents): [] for core in copies}
    for name, core in cores.items():
        for path in core.list_pictures():
            if (first := (_find_place(path, core), contents.sizes.get(path))) in holders:
                holders[first].append(name)
    return holders


def _find_first(folder: Folder, contents: Contents) -> _First:
    path = next(below.pictures[0] for below in folder.walk() if below.pictures)
    return _find_place(path, folder), contents.sizes.get(path)


def _find_place(path: str, folder: Folder) -> str:
    """A picture's path below a folder."""
    return path[len(folder.path) :].lstrip("/")


def _depth(folder: Folder) -> int:
    return enter(folder).path.count("/")


def _repeats(folder: Folder, original: Folder, known: set[str], contents: Contents) -> bool:
    """Whether each picture of a folder is at the same place in the other, too. known: paths of all pictures."""
    pairs = []
    for path in folder.list_pictures():
        twin = "/".join(filter(None, (original.path, _find_place(path, folder))))
        if twin not in known:
            return False
        pairs.append((path, twin))
    return contents.are_copies(pairs)


def find_copied_classes(pictures: Mapping[str, list[str]], contents: Contents) -> dict[str, str]:
    """Classes of which every picture, by a sample, also lies in another class, and one such other class for each.

    pictures: paths by class.
    """
    by_size: dict[int, list[tuple[str, str]]] = {}
    for label, paths in pictures.items():
        for path in paths:
            if contents.sizes.get(path, 0) >= _MIN_BYTES:
                by_size.setdefault(contents.sizes[path], []).append((label, path))
    found: dict[str, str] = {}
    by_name = _index_names(by_size)
    if contents.identify is not None:
        contents = replace(contents, identify=cache(contents.identify))  # many are compared with the same few
    if contents.identify is None and 2 * len(by_size) < sum(map(len, pictures.values())) // 2:
        return found  # too few sizes to tell files apart
    for label, paths in pictures.items():
        if len(paths) > 1 and all(_has_twin(by_size, contents, label, path) for path in paths):
            twin = ""
            for path in _take_sample(paths):
                other = _find_twin(by_size, by_name, contents, label, path)
                if not other:
                    break
                twin = twin or other
            else:
                found[label] = twin
    return found


def _index_names(by_size: Mapping[int, list[tuple[str, str]]]) -> dict[tuple[int, str], list[tuple[str, str]]]:
    """(class, path) by size and name."""
    found: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for size, files in by_size.items():
        for label, path in files:
            found.setdefault((size, path.rpartition("/")[2]), []).append((label, path))
    return found


def _has_twin(by_size: dict[int, list[tuple[str, str]]], contents: Contents, label: str, path: str) -> bool:
    candidates = by_size.get(contents.sizes.get(path, -1), [])
    return any(other != label for other, _ in islice(candidates, _MAX_CANDIDATES))


def _find_twin(
    by_size: Mapping[int, list[tuple[str, str]]],
    by_name: Mapping[tuple[int, str], list[tuple[str, str]]],
    contents: Contents,
    label: str,
    path: str,
) -> str:
    """Another class with a copy of a picture, or empty. Those of its name are tried first."""
    size, name = contents.sizes[path], path.rpartition("/")[2]
    others = (found for found in by_size[size] if found[1].rpartition("/")[2] != name)
    candidates = (found for found in chain(by_name[size, name], others) if found[0] != label)
    for other, twin in islice(candidates, _MAX_CANDIDATES):
        same_name = twin.rpartition("/")[2] == name
        if contents.identify(path) == contents.identify(twin) if contents.identify else same_name:
            return other
    return ""
