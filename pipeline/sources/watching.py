"""What DVC watches of the user's own folders and files, on the machine that has them, and what of it goes along to others.

data/watch/seen/<name>.json is in git: digests of what was read there. `locate` depends on it. data/watch/dvc.yaml has one stage
for each entry of data/watch/params.yaml, which git does not know: it depends on the user's folder, and writes the digest anew
when something in it has changed. A clone has no such entry, and so DVC misses nothing there.

DVC fails on a link to nothing. data/watch/here/<name> therefore links to the nearest folder that contains both the project and
what is watched, and data/watch/here/.dvcignore leaves out all else in it: a source that disappears is an empty folder to DVC.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import yaml

from pipeline.runtime.dvc_writes import make_dvc_write_whole
from pipeline.runtime.files import compute_sha256, folder_aside, remove, write_aside
from pipeline.runtime.paths import WATCH, WATCH_HERE, WATCH_LIST, WATCH_SEEN
from pipeline.runtime.processes import in_chunks, map_in_order
from pipeline.sources.local_folder import describe_special, describe_stamp, list_stamps
from pipeline.sources.local_paths import find_project

_KNOWN = re.compile(r"[^A-Za-z0-9._/-]")  # what else is in a path becomes `?`, which means any one character
_CHUNK, _FEW = 256, 1024  # files per message to a worker; so many are read before a worker has started
_LEFT_OUT = (".dvcignore", ".git", ".hg")  # not entered, as in pipeline.sources.local_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """settings: digest of the parameters under which it was read. content: of names and bytes. None: nothing can change."""

    settings: str | None = None
    content: str | None = None


def load_seen(name: str) -> Seen:
    """What was read last, on this machine or, in a clone, on that of whoever committed.

    name: source, labels, outside, exclude or relabel.
    """
    try:
        return Seen(**json.loads((WATCH_SEEN / f"{name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not there, or what a merge has left
        return Seen()


def save_seen(name: str, seen: Seen) -> None:
    if load_seen(name) != seen or not (WATCH_SEEN / f"{name}.json").exists():
        with write_aside(WATCH_SEEN / f"{name}.json") as partial:
            partial.write_text(json.dumps(asdict(seen), indent=1) + "\n", encoding="utf-8")


def digest_settings(settings: Mapping[str, object]) -> str:
    """Of parameters; those that are null or empty don't count, so that a new one changes no digest."""
    said = {name: value for name, value in settings.items() if value not in (None, {}, "")}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:32]


def is_absent(path: Path) -> bool:
    """Whether nothing is there, or an empty folder: where a disk was mounted."""
    try:
        return not path.exists() or (path.is_dir() and not any(path.iterdir()))
    except OSError:
        return False  # whoever reads it says why it can't be read


def digest_content(name: str, target: Path) -> str:
    """Of the names and bytes of a file, or of all files of a folder. What no time stamp has changed of is not read again."""
    found = {"": describe_stamp(target.stat())} if target.is_file() else list_stamps(target)
    stamps = _digest(f"{path}\0{stamp}" for path, stamp in found.items())
    memo = find_project(Path.cwd()) / WATCH_HERE / f"{name}.json"
    if (known := _load_memo(memo)).get("stamps") == stamps:
        return known["content"]
    digests = _digest_files(target, found)
    content = _digest(f"{path}\0{digest}" for path, digest in zip(found, digests, strict=True))
    if not _is_copy():
        with write_aside(memo) as partial:
            partial.write_text(json.dumps({"stamps": stamps, "content": content}), encoding="utf-8")
    return content


def _digest(lines: Iterator[str]) -> str:
    total = hashlib.sha256()
    for some in in_chunks(lines, _CHUNK):
        total.update(os.fsencode("\n".join(some) + "\n"))
    return total.hexdigest()[:32]


def _digest_files(target: Path, paths: Collection[str]) -> Iterator[str]:
    """On all cores, if they are more than a few: of a million, or of a terabyte, this is most of the work."""
    # Texts, as a worker takes a path apart and puts it together for longer than it computes a small file's digest.
    chunks = in_chunks(paths, _CHUNK)
    done = map_in_order(partial(_digest_chunk, str(target)), chunks, None if len(paths) > _FEW else 1)
    return chain.from_iterable(done)


def _digest_chunk(target: str, paths: list[str]) -> list[str]:
    return [_digest_file(Path(target, path)) for path in paths]


def _digest_file(file: Path) -> str:
    return describe_special(file.stat().st_mode) or compute_sha256(file)


def _load_memo(memo: Path) -> dict[str, str]:
    try:
        return dict(json.loads(memo.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def load_watched() -> dict[str, Path]:
    """What DVC watches on this machine: absolute paths by name."""
    try:
        entries = yaml.safe_load(WATCH_LIST.read_text(encoding="utf-8"))["watched"]
        return {str(name): Path(path) for name, path in entries.items()}
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}


def watch(targets: Mapping[str, Path]) -> None:
    """Makes DVC watch these and nothing else from the next `dvc repro` on. targets: absolute paths by name, as they are now.

    In a temporary copy of the project, nothing: it is gone when its experiment ends.
    """
    if _is_copy():
        return
    if not targets:
        remove(WATCH_LIST)
        remove(WATCH_HERE)
        return
    memos = {name: memo for name in targets if (memo := _load_memo(WATCH_HERE / f"{name}.json"))}
    with folder_aside(WATCH_HERE) as folder:
        patterns = [line for name, target in targets.items() for line in _link(folder / name, target)]
        (folder / ".dvcignore").write_text("\n".join(patterns) + "\n", encoding="utf-8")
        for name, memo in memos.items():
            (folder / f"{name}.json").write_text(json.dumps(memo), encoding="utf-8")
    with write_aside(WATCH_LIST) as partial:
        entries = {name: str(target) for name, target in targets.items()}
        partial.write_text(yaml.safe_dump({"watched": entries}, allow_unicode=True), encoding="utf-8")
    _record(list(targets))


def _is_copy() -> bool:
    return find_project(Path.cwd()) != Path.cwd()


def _link(link: Path, target: Path) -> list[str]:
    """Makes the link; returns the lines of .dvcignore that go with it, which bring back what the project's own leaves out."""
    if target.is_symlink():  # somebody may make it point elsewhere, which shows only through the link itself
        link.symlink_to(target)
        return [f"!/{link.name}/**", *(f"/{link.name}/**/{name}" for name in _LEFT_OUT)]
    place = target.parent.resolve() / target.name
    top = _find_top(place)
    link.symlink_to(top)
    lines, path = [], f"/{link.name}"
    for part in place.relative_to(top).parts:
        lines.append(f"{path}/*")
        path += f"/{_KNOWN.sub('?', part)}"
        lines.append(f"!{path}")
    return [*lines, f"!{path}/**", *(f"{path}/**/{name}" for name in _LEFT_OUT)]


def _find_top(place: Path) -> Path:
    """The folder from which DVC finds what is watched: it never goes away, and no other DVC project lies between."""
    top = Path(os.path.commonpath([place.parent, Path.cwd().resolve()]))
    between = [folder for folder in place.parents if folder.is_relative_to(top)]
    return next((folder for folder in between if (folder / ".dvc").is_dir()), top)


def _record(names: list[str]) -> None:
    """Tells DVC that these are as it knows them, as `dvc commit` does, which a running `dvc repro` would lock out. Where that
    fails, the next `dvc repro` looks once more and finds the same."""
    if not Path(".dvc").is_dir():
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    make_dvc_write_whole()
    try:
        with Repo() as repo, repo.lock:
            for name in names:
                for stage in repo.stage.collect(f"{WATCH}/dvc.yaml:watch@{name}"):
                    stage.save(run_cache=False)
                    stage.dump(update_pipeline=False)
    except DvcException as error:
        logger.debug("DVC will look at %s again: %s", ", ".join(names), error)
