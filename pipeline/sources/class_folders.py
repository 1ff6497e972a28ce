"""What the paths of a data set mean: which folder is a split, which is a class, which file is a picture.

The sources folder and archive share this: both turn a list of paths into a Reading. Where `data.labels` names a CSV file, that
file says it instead.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cache, partial
from pathlib import PurePosixPath
from unicodedata import normalize

from pipeline.config.sources import ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import readable_name
from pipeline.sources.copies import Contents
from pipeline.sources.decision import Decision
from pipeline.sources.extras import EXTRAS, find_files_of_extras
from pipeline.sources.labels import read_labels
from pipeline.sources.layout import decide_layout
from pipeline.sources.names import (
    describe_rewritten,
    find_class_in_file_name,
    is_litter,
    make_unique_names,
)
from pipeline.sources.proposals import find_tables
from pipeline.sources.reading import AS_FOUND, Reading, TreeFile
from pipeline.sources.split_lists import divide, find_lists
from pipeline.sources.suspicions import BY_EXTENSION, merge_spellings, review
from pipeline.sources.tree import Folder, build_tree, find_extension, is_picture

_LINK = "link to a folder, which is not entered"
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".rar", ".7z")
_MOST_LEVELS = 200  # folders inside each other
_KIND = re.compile(r"\.[a-z0-9]{1,8}")  # an extension that says what a file is; not that of cat.jpg?w=200
_OUTSIDE = "lies in no class folder"

LeftOut = dict[str, list[str]]  # paths by reason


def read_tree(
    paths: Iterable[str] | Mapping[str, int],
    where: str,
    settings: ReadingSettings = AS_FOUND,
    *,
    folders: Iterable[str] = (),
    links: Iterable[str] = (),
    identify: Callable[[str], Hashable] | None = None,
    read_file: Callable[[str], bytes] | None = None,
    name: str = "",
) -> Reading:
    """Labels and splits of the files below one root.

    paths: relative, with forward slashes, without `..`, each once; as a mapping with each file's size in bytes, copies are
    noticed. where: the root, for messages. settings: what the user says of folders and files. folders: paths of all folders, if
    they are known: empty ones are named. links: paths of links to folders, which nobody enters. identify: a value that two
    files share only if their bytes are equal; None: equal names and sizes are enough. read_file: the bytes of a file, for a CSV
    of labels inside the source. name: of the root itself, with which a row of labels may begin.

    Raises PipelineError, one line, if there are no class folders, or if there are two readings and nothing says which is meant.
    """
    sizes = paths if isinstance(paths, Mapping) else {}
    left_out: LeftOut = {}
    kept = _drop_litter(sorted(paths), left_out)
    if links:
        left_out[_LINK] = sorted(links)
    everything = kept
    if settings.root:
        kept = _enter_root(kept, settings.root, where, left_out)
    _check_kept(kept, where, links)
    _check_depth([*kept, *folders], where)
    lists, settings = find_lists(settings)
    if settings.labels:
        return read_labels(kept, where, settings, left_out, read_file, everything, name)
    above = {name.rpartition("/")[0] for name in kept.values()}  # an archive need not list its folders
    root = build_tree([name for name in kept.values() if is_picture(name)], {*map(_normalize, folders), *above} - {""})
    contents = _describe_contents(kept, sizes, identify)
    divided = partial(divide, lists=lists, tables=everything, left_out=left_out, read_file=read_file)
    tables = find_tables(kept, everything, read_file)
    return _read_folders(kept, _find(root, settings.root), where, settings, contents, left_out, divided, tables)


def _describe_contents(
    kept: Mapping[str, str], sizes: Mapping[str, int], identify: Callable[[str], Hashable] | None
) -> Contents:
    """The same by the paths' normal form."""
    given = {name: path for path, name in kept.items()}
    known = {name: sizes[path] for name, path in given.items() if path in sizes}
    return Contents(known, None if identify is None else lambda name: identify(given[name]))


def _check_depth(paths: Iterable[str], where: str) -> None:
    """Raises PipelineError for folders in folders without end, as a program that copies a folder into itself leaves them."""
    deepest = max(paths, key=lambda path: path.count("/"), default="")
    if deepest.count("/") > _MOST_LEVELS:
        raise PipelineError(
            f"{where} has {deepest.count('/'):,} folders inside each other, below {readable_name(deepest[:60])!r}: expected at "
            f"most {_MOST_LEVELS}; move the inner ones away"
        )


def _check_kept(kept: Mapping[str, str], where: str, links: Iterable[str]) -> None:
    """Raises PipelineError if there is no file, or no picture."""
    if not kept:
        also = "; links to folders, such as {!r}, are not entered: data.path must name the folder itself"
        raise PipelineError(
            f"{where} contains no files: expected <class>/<image>, or train/<class>/<image> and so on"
            + (also.format(min(links)) if links else "")
        )
    if not any(map(is_picture, kept.values())):
        if packed := find_archives(kept.values()):
            raise PipelineError(
                f"{where} has no image, but {len(packed):,} archive(s), such as {packed[0]!r}: expected pictures; archives "
                "inside are not read, so unpack them, each into a folder of its name, and set data.source to folder"
            )
        unclear = [path for path in kept if not _KIND.fullmatch(find_extension(path))]
        advice = (
            "; a picture is known by the extension of its name: if these are pictures, rename them" if unclear else ""
        )
        raise PipelineError(
            f"{where} has no image: expected <class>/<name>.jpg, .png, .bmp, .gif, .webp, .tif or .ppm; received "
            f"{len(kept):,} other file(s), such as {readable_name(min(unclear or kept))!r}{advice}"
        )


def _read_folders(
    kept: dict[str, str],
    root: Folder,
    where: str,
    settings: ReadingSettings,
    contents: Contents,
    left_out: LeftOut,
    divided: Callable[[list[TreeFile], Decision], list[TreeFile]],
    tables: list[str],
) -> Reading:
    empty = [folder.path for folder in root.walk() if not folder.count and folder.path]
    decision = decide_layout(root, where, settings, contents, tables)
    places = _place_files(kept, decision, left_out)
    if settings.layout == "auto":
        _leave_out_extras(places, kept, decision, left_out)
    files = divided(_label_files(places, decision), decision)
    if not files:
        reasons = ", ".join(sorted(reason for reason, found in left_out.items() if found))
        raise PipelineError(f"{where} has no file that is not left out ({reasons}): expected some to be left")
    if not any(file.label for file in files if is_picture(file.path)):
        if decision.by_file:
            example = next((file.name for file in files if is_picture(file.path)), "none")
            raise PipelineError(
                f"{where} has no picture whose name begins with a class: expected names such as cat_1.jpg, as data.classes is "
                f"file; received {example!r}"
            )
        raise PipelineError(
            f"{where} has no class folders: expected <class>/<image>, or train/<class>/<image> and so on; "
            f"received files such as {min(file.name for file in files)!r} with no folder above them"
        )
    if packed := find_archives(kept.values()):
        decision.warn(
            f"{len(packed):,} archive(s) inside, such as {packed[0]!r}, are not read: unpack them if they matter"
        )
    if links := left_out.get(_LINK):
        decision.warn(f"{len(links):,} link(s) to folders, such as {links[0]!r}, are not entered, and are no classes")
    review(files, decision, contents, empty, kept)
    return Reading(
        where,
        tuple(files),
        tuple(decision.wrappers),
        summarize(left_out),
        tuple(decision.warnings),
        tuple(decision.notes),
    )


def find_archives(names: Iterable[str]) -> list[str]:
    """Files that are archives by their extensions, sorted."""
    return sorted(name for name in names if name.lower().removesuffix(".001").endswith(_ARCHIVES))


def _place_files(kept: Mapping[str, str], decision: Decision, left_out: LeftOut) -> dict[str, tuple[str, str]]:
    """(folder name or other text that stands for the class, split) of each path that is not left out."""
    places: dict[str, tuple[str, str]] = {}
    place = cache(decision.place)  # of a folder, which has many files
    for path, name in sorted(kept.items()):
        label, split, ignored = place(name.rpartition("/")[0])
        if ignored:
            left_out.setdefault(ignored, []).append(path)
        else:
            in_name = find_class_in_file_name(name) if decision.by_file and is_picture(path) else ""
            places[path] = (in_name if decision.by_file else label, split)
    return places


def _leave_out_extras(
    places: dict[str, tuple[str, str]], kept: Mapping[str, str], decision: Decision, left_out: LeftOut
) -> None:
    """Takes masks and thumbnails of pictures that lie beside them out of `places`."""
    extras = find_files_of_extras(kept[path] for path, (label, _) in places.items() if label)
    found = [path for path in places if extras and kept[path] in extras]
    if not found:
        return
    for path in found:
        del places[path]
    left_out.setdefault(EXTRAS, []).extend(found)
    decision.warn(
        f"{len(found):,} pictures, such as {readable_name(found[0])!r}, have the names of masks or thumbnails of pictures "
        "beside them and are left out: data.layout=flat (or split) reads them too"
    )


def _label_files(places: Mapping[str, tuple[str, str]], decision: Decision) -> list[TreeFile]:
    labels = merge_spellings({(split, label) for label, split in places.values() if label}, decision)
    names = make_unique_names(places)
    if line := describe_rewritten(names, "file names"):
        decision.notes.append(line)
    return [
        TreeFile(path, labels.get((split, label), ""), split, _refuse(path, label, decision.by_file), names[path])
        for path, (label, split) in places.items()
    ]


def summarize(left_out: LeftOut) -> tuple[tuple[str, int, str], ...]:
    """(reason, how many, an example), as Reading has them."""
    names = {reason: make_unique_names(paths) for reason, paths in left_out.items() if paths}
    return tuple((reason, len(found), found[min(found)]) for reason, found in sorted(names.items()))


def _normalize(path: str) -> str:
    """Without `.` and doubled slashes, as a tar of the folder `.` has them."""
    is_normal = (
        "//" not in path and "/./" not in path and not path.startswith(("./", "/")) and not path.endswith(("/", "/."))
    )
    return path if is_normal else "/".join(PurePosixPath(path).parts)


def _drop_litter(paths: list[str], left_out: LeftOut) -> dict[str, str]:
    """Normal form by path, of what is no litter."""
    known: dict[str, bool] = {}
    kept = {}
    for path in paths:
        name = _normalize(path)
        folder, _, file = name.rpartition("/")
        if folder not in known:
            known[folder] = any(map(is_litter, folder.split("/")))
        if known[folder] or is_litter(file):
            left_out.setdefault("hidden, or made by an operating system", []).append(path)
        else:
            kept[path] = name
    return kept


def _enter_root(kept: dict[str, str], root: str, where: str, left_out: LeftOut) -> dict[str, str]:
    """The files below data.root. Raises PipelineError if there are none."""
    start = normalize("NFC", _normalize(root.replace("\\", "/").strip("/"))) + "/"
    inside = {path: name for path, name in kept.items() if f"{normalize('NFC', name)}".startswith(start)}
    if not inside:
        tops = sorted({name.partition("/")[0] for name in kept.values() if "/" in name})
        raise PipelineError(
            f"{where} has no files below data.root {root!r}: expected a folder in it, as {', '.join(tops[:10]) or 'none is'}"
        )
    if rest := [path for path in kept if path not in inside]:
        left_out["outside data.root"] = rest
    return inside


def _find(root: Folder, path: str | None) -> Folder:
    """The folder at data.root, whatever the Unicode form of its name."""
    folder = root
    for part in PurePosixPath((path or "").replace("\\", "/")).parts:  # as `_enter_root` reads it
        same = [child for child in folder.folders.values() if normalize("NFC", child.name) == normalize("NFC", part)]
        folder = max(same, key=lambda child: child.count) if same else folder
    return folder


def _refuse(path: str, label: str, by_file: bool) -> str:
    if not is_picture(path):
        extension = find_extension(path)
        advice = "" if _KIND.fullmatch(extension) else "; if it is a picture, rename it, as to .jpg"
        return f"{BY_EXTENSION} {extension!r}{advice}" if label or by_file else _OUTSIDE
    if label:
        return ""
    return "its name does not begin with a class" if by_file else _OUTSIDE
