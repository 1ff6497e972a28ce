"""Which picture a row of a CSV file of labels means."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain, takewhile
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from pipeline.runtime.errors import PipelineError
from pipeline.sources.decision import suggest_map
from pipeline.sources.label_table import LabelRow
from pipeline.sources.names import find_split_word
from pipeline.sources.tree import is_picture

_DRIVE = re.compile(r"^[A-Za-z]:/")
_FEW = 8  # pictures of one name that are compared with a row one by one

_Known = tuple[str, list[str]]  # path of a picture, and the folded parts of its normal form


class Finder:
    """Finds the picture that a row means. pictures: normal form by path. root: data.root. parameter: which names the file.
    folder: name of the source's own folder."""

    def __init__(
        self,
        pictures: Mapping[str, str],
        root: str | None,
        where: str,
        parameter: str = "data.labels",
        folder: str = "",
    ) -> None:
        self.pictures = pictures
        self._folder = normalize("NFC", folder).casefold()
        self._shared: list[str] | None = None  # folders in which all rows begin
        self._own, self._tables = "", frozenset[str]()  # folders of the table, and of all
        self._parameter = parameter
        self._where = where
        self._root = (root or "").strip("/").split("/")
        self._exact = _Index(pictures, _keep)
        self._folded: _Index | None = None
        self._indirect: list[LabelRow] = []
        self._by_name: dict[str, str] = {}  # picture by path of a row
        # A row whose outer folder is called otherwise than the source, and that folder.
        self._renamed: tuple[LabelRow, str] | None = None

    def expect(self, rows: Iterable[LabelRow], folder: str = "", every: Collection[str] = ()) -> None:
        """All rows of one table, before any of it is looked for. Folders that its rows have above those of the source then
        have to be the source's own, or the same in all rows: cam1/1.jpg is not 1.jpg of a folder cam2.

        folder: of the table. every: those of all tables. 1.jpg is none of a folder beside it that has a table of its own."""
        self._own, self._tables = folder, frozenset(every)
        named = (row.path for row in rows if row.path and not _is_from_elsewhere(row.path))
        folders = [_fold_folders(_split(path)[:-1]) for path in named]
        # What the first and the last in order begin with, all others do.
        pairs = zip(min(folders, default=[]), max(folders, default=[]), strict=False)
        self._shared = [part for part, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]

    def find(self, row: LabelRow, name: str) -> str | None:
        """Its path, or None. What differs by case only, or is encoded as in a URL, counts if nothing else fits.

        Raises PipelineError if several pictures are meant alike.
        """
        parts = _split(row.path)
        if not parts:
            return None
        if found := self._by_name.get(row.path):
            return None if self._is_of_another_table(parts[-1:], found) else found
        if found := self._choose(row, parts, self._exact, name):
            return found
        if self._folded is None:
            self._folded = _Index(self.pictures, str.casefold)
        found = self._choose(row, _split(unquote(row.path)), self._folded, name)
        self._indirect += [row] if found else []
        return found

    def match_names(self, rows: Iterable[LabelRow]) -> bool:
        """Lets rows from elsewhere, of none of which the folders are those of a file, mean the file of their name, where it is
        the only one of it and they are the only row. Returns whether there is one."""
        by_last: dict[str, set[str]] = defaultdict(set)
        found: dict[str, set[str]] = defaultdict(set)
        for path in dict.fromkeys(row.path for row in rows if _is_from_elsewhere(row.path)):
            by_last[(_split(unquote(path)) or [""])[-1]].add(path)
        for name, paths in by_last.items():
            if name and len(named := self._list_named([name])) == 1:
                found[named[0]] |= paths
        self._by_name = {paths.pop(): picture for picture, paths in found.items() if len(paths) == 1}
        return bool(self._by_name)

    def explain(self, row: LabelRow) -> str:
        """In what a row that has no file differs from the files, and what to do."""
        if named := self._list_named(_split(unquote(row.path))):
            shown = " and ".join(repr(self.pictures[path]) for path in named[:2])
            way = "set data.root to the one that is meant" if len(named) > 1 else "leave folders off"
            return f"the source {shown}: the folders differ; write those of the source into the column, or {way}"
        if other := self.find_other_extension(row):
            return f"the source {other!r}; correct the extension in the column, or leave it off"
        received = next(iter(self.pictures.values()), None)
        example = f"files such as {received!r}" if received else "no picture"
        return f"the source {example}; set data.label_columns.path to the column of file names, or data.root"

    def _list_named(self, parts: list[str]) -> list[str]:
        """Paths of the pictures that have the name of a row's, in whatever folder."""
        if self._folded is None:
            self._folded = _Index(self.pictures, str.casefold)
        return self._folded.find_named(parts[-1]) if parts else []

    def find_other_extension(self, row: LabelRow) -> str | None:
        """A picture that has the name of a row's, but for the extension."""
        parts = _split(row.path)
        found = self._exact.by_stem.get(_drop_extension(parts[-1]), []) if parts else []
        return self.pictures[found[0][0]] if found else None

    def describe(self, name: str) -> Iterator[str]:
        """What a person should look at: rows that are not written as their files are. name: of the CSV file."""
        if self._indirect:
            row = self._indirect[0]
            yield (
                f"{len(self._indirect):,} rows of {name} name a file by other case or in the encoding of URLs, such as row "
                f"{row.number}: {row.path!r}"
            )

        if self._by_name:
            path, picture = next(iter(self._by_name.items()))
            yield (
                f"the folders of {name} are not those of the source, such as in {path!r}, which is taken for "
                f"{self.pictures[picture]!r}: {len(self._by_name):,} rows are matched by the names of their files alone"
            )
        if self._renamed:
            row, folder = self._renamed
            yield (
                f"rows of {name} begin in a folder {folder!r}, such as row {row.number}: {row.path!r}, and are taken for those "
                f"of {self._where}: if that is another one, set data.path to the folder {folder!r}, or to the one above it"
            )

    def _choose(self, row: LabelRow, parts: list[str], index: "_Index", name: str) -> str | None:
        near = [path for path in index.find(parts, self._root) if self._begins_here(row, parts, path)]
        near = [path for path in near if not self._is_of_another_table(parts, path)]
        if len(near) > 1:
            folders = sorted({self.pictures[path].rpartition("/")[0] for path in near} - {""})
            word = find_split_word(Path(name).stem)
            own = [folder for folder in folders if word and word in map(find_split_word, folder.split("/"))]
            wrong = [folder for folder in folders if folder not in own] if len(own) == 1 else []
            ways = [wrong] if wrong else [[folder] for folder in folders[:2]]
            ignoring = (
                f", or leave the others out ({' or '.join(suggest_map(way, 'ignore') for way in ways)})" if ways else ""
            )
            raise PipelineError(
                f"{self._parameter} {name!r}, row {row.number}: {row.path!r} is {len(near)} pictures of {self._where}, such as "
                f"{near[0]!r} and {near[1]!r}: expected one; write their folders into the column"
                f"{f', or set data.root{ignoring}' if self._parameter == 'data.labels' else ''}"
            )
        return near[0] if near else None

    def _begins_here(self, row: LabelRow, parts: list[str], path: str) -> bool:
        """Whether the folders that a row has above those of a picture may be the ones in which the source lies."""
        outer = parts[: max(0, len(parts) - 1 - self.pictures[path].count("/"))]
        if not outer or self._shared is None or _is_from_elsewhere(row.path) or ".." in outer:
            return True
        folded = _fold_folders(outer)
        if folded[-1] == self._folder:
            return True
        is_shared = folded == self._shared[: len(outer)]
        if is_shared and self._folder and self._renamed is None:
            self._renamed = (row, outer[-1])
        return is_shared

    def _is_of_another_table(self, parts: list[str], path: str) -> bool:
        """Whether a picture lies in a folder that a row does not name, beside that of its table, and with a table of its own.
        parts: those of the row's path."""
        folders = self.pictures[path].split("/")[:-1]
        unnamed = ("/".join(folders[:depth]) for depth in range(1, len(folders) + 2 - len(parts)))
        return any(folder in self._tables and not _are_nested(folder, self._own) for folder in unnamed)


def _keep(text: str) -> str:
    return text


class _Index:
    """Pictures by their folded names. by_stem: by that without extension."""

    def __init__(self, pictures: Mapping[str, str], fold: Callable[[str], str]) -> None:
        self._fold = fold
        self.by_stem: dict[str, list[_Known]] = defaultdict(list)
        self._alike: dict[str, _Alike] = {}  # those of a stem that has many
        self._whole: dict[str, list[str]] = defaultdict(list)
        for path, text in pictures.items():
            parts = [fold(part) for part in normalize("NFC", text).split("/")]
            self.by_stem[_drop_extension(parts[-1])].append((path, parts))
            self._whole["/".join(parts)].append(path)

    def find(self, parts: list[str], root: list[str]) -> list[str]:
        """Paths of the pictures that these parts of a row's path mean: whole paths, from the source's root or `root` on, before
        ends of paths."""
        wanted = [self._fold(part) for part in parts]
        starts = {"/".join(wanted), "/".join([*map(self._fold, root), *wanted])}
        if whole := [path for start in sorted(starts) for path in self._whole.get(start, [])]:
            return whole
        near = _choose_named(self._list_agreeing(wanted), wanted[-1])
        near = [found for found in near if found[1][-1] == wanted[-1]] or near
        return [path for path, _ in near]

    def find_named(self, name: str) -> list[str]:
        """Paths of the pictures of a name, in whatever folder."""
        folded = self._fold(name)
        return [path for path, _ in _choose_named(self.by_stem.get(_drop_extension(folded), []), folded)]

    def _list_agreeing(self, wanted: list[str]) -> list[_Known]:
        """Those of a row's name, whatever their extensions, whose folders do not contradict the row's."""
        stem = _drop_extension(wanted[-1])
        known = self.by_stem.get(stem, [])
        if len(known) <= _FEW:
            return [found for found in known if _agree(found[1], wanted)]
        if stem not in self._alike:
            self._alike[stem] = _Alike(known)
        return self._alike[stem].find(wanted[:-1])


class _Alike:
    """Many pictures of one name, as view1.jpg of each patient: `find` is as `_agree` of each, without a look at each."""

    def __init__(self, known: list[_Known]) -> None:
        self._known = known
        self._whole: dict[tuple[str, ...], list[int]] = defaultdict(list)  # by all folders
        for number, (_, parts) in enumerate(known):
            self._whole[tuple(parts[:-1])].append(number)
        self._ends: dict[int, dict[tuple[str, ...], list[int]]] = {}  # by how many of the last folders, and by these

    def find(self, folders: list[str]) -> list[_Known]:
        """Those whose folders end with these, or are the end of these; in their order."""
        if len(folders) not in self._ends:
            self._ends[len(folders)] = self._group(len(folders))
        longer = self._ends[len(folders)].get(tuple(folders), [])
        shorter = (self._whole.get(tuple(folders[start:]), []) for start in range(1, len(folders) + 1))
        return [self._known[number] for number in sorted(chain(longer, *shorter))]

    def _group(self, length: int) -> dict[tuple[str, ...], list[int]]:
        ends: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for folders, numbers in self._whole.items():
            if len(folders) >= length:
                ends[folders[len(folders) - length :]] += numbers
        return ends


def _choose_named(known: list[_Known], name: str) -> list[_Known]:
    """Of pictures of one stem those of a name, which may lack the extension."""
    return [found for found in known if found[1][-1] == name] if is_picture(name) else known


def find_named(name: str, files: Mapping[str, str]) -> list[str]:
    """The files that a name means: that of its whole path, else those whose paths end with it. files: normal form by path."""
    wanted = normalize("NFC", name.replace("\\", "/").strip("/"))
    found = [path for path, text in files.items() if f"/{normalize('NFC', text)}".endswith(f"/{wanted}")]
    return [path for path in found if files[path] == wanted] or found


def is_absolute(path: str) -> bool:
    """Whether a row's path begins at a root, of Windows or of Unix."""
    return path.startswith(("/", "\\")) or bool(_DRIVE.match(path.replace("\\", "/")))


def _is_from_elsewhere(path: str) -> bool:
    """Whether a row's folders are those of another machine or folder: it begins at a root, above, or is an address."""
    return is_absolute(path) or path.replace("\\", "/").startswith("../") or "://" in path


def _are_nested(folder: str, other: str) -> bool:
    """Whether one of two folders is the other, or lies in it."""
    first, second = sorted((folder, other), key=len)
    return not first or f"{second}/".startswith(f"{first}/")


def _fold_folders(parts: list[str]) -> list[str]:
    return [unquote(part).casefold() for part in parts]


def _split(path: str) -> list[str]:
    text = _DRIVE.sub("/", normalize("NFC", path.replace("\\", "/")))
    return [part for part in text.split("/") if part not in ("", ".")]


def _drop_extension(name: str) -> str:
    return name.rpartition(".")[0] if is_picture(name) else name


def _agree(file: list[str], row: list[str]) -> bool:
    """Whether a row's path is the end of a file's, or the other way round, but for their last parts."""
    length = min(len(file), len(row))
    return file[-length:-1] == row[-length:-1]
