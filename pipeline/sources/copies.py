"""Copies inside a source, which Kaggle's archives often have: the whole set once more, or a class made of others' pictures."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import islice

from pipeline.sources.tree import Folder

_SAMPLE = 16  # pictures whose bytes are compared, spread over all
_MIN_BYTES = 512  # a smaller file is no more than a placeholder, which many classes may share
_MAX_CANDIDATES = 64  # files of one size that are compared with one picture


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
    for folder in sorted(level.filled, key=lambda found: (-_depth(found), found.name)):
        core = enter(folder)
        names = set(core.filled_names)
        others = [other for other in level.filled if other is not folder]
        if len(names) < 2 or not folder.only_below():
            continue
        if names <= {other.name for other in others}:
            originals = [other for other in others if other.name in names]
            if _repeats(core, level, contents):
                return folder, originals, True
            partial = folder, originals, False
        for other in others:
            if names <= set(enter(other).filled_names) and _repeats(core, enter(other), contents):
                return folder, [other], True
    return partial


def _depth(folder: Folder) -> int:
    return enter(folder).path.count("/")


def _repeats(folder: Folder, original: Folder, contents: Contents) -> bool:
    """Whether each picture of a folder is at the same place in the other, too."""
    known = set(original.list_pictures())
    pairs = []
    for path in folder.list_pictures():
        twin = "/".join(filter(None, (original.path, path[len(folder.path) :].lstrip("/"))))
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
    if contents.identify is None and 2 * len(by_size) < sum(map(len, pictures.values())) // 2:
        return found  # too few sizes to tell files apart
    for label, paths in pictures.items():
        if len(paths) > 1 and all(_has_twin(by_size, contents, label, path) for path in paths):
            twins = [_find_twin(by_size, contents, label, path) for path in _take_sample(paths)]
            if all(twins):
                found[label] = twins[0]
    return found


def _has_twin(by_size: dict[int, list[tuple[str, str]]], contents: Contents, label: str, path: str) -> bool:
    candidates = by_size.get(contents.sizes.get(path, -1), [])
    return any(other != label for other, _ in islice(candidates, _MAX_CANDIDATES))


def _find_twin(by_size: dict[int, list[tuple[str, str]]], contents: Contents, label: str, path: str) -> str:
    """Another class with a copy of a picture, or empty."""
    name = path.rpartition("/")[2]
    candidates = [(other, twin) for other, twin in by_size[contents.sizes[path]] if other != label]
    candidates.sort(key=lambda found: found[1].rpartition("/")[2] != name)
    own = contents.identify(path) if contents.identify and candidates else None
    for other, twin in candidates[:_MAX_CANDIDATES]:
        same_name = twin.rpartition("/")[2] == name
        if own == contents.identify(twin) if contents.identify else same_name:
            return other
    return ""
