"""What runs that were killed left behind: files and folders written aside, and the workspaces of `dvc exp run --temp` and of
DVC's queue, its locks of git's references to experiments, which would stop each later `dvc exp run`, and what was being said on
a cluster.

A stage that runs again removes what it wrote aside itself. These are of stages that don't: their results came from DVC's cache,
or their family is no longer asked for. Only names that stages give to their own outputs count, as a user's folders may be
called `cow.partial`. Nothing is removed while another DVC or stage runs in the project.
"""

import os
import time
from itertools import chain
from pathlib import Path

from pipeline.runtime import paths
from pipeline.runtime.files import read_key, remove
from pipeline.runtime.git import ask_git
from pipeline.runtime.lifetime import is_at_work

_SINGLE = (
    paths.CODE,
    paths.SETTINGS,
    paths.LOCATED,
    paths.OUTSIDE,
    paths.CORRECTION_COPIES,
    paths.RAW,
    paths.INSPECTED,
    paths.MANIFEST,
    paths.QUARANTINE,
    paths.CORRECTIONS,
    paths.SPLITS,
    paths.DUPLICATES,
    paths.LEAKS,
    paths.TFRECORDS,
    paths.MEASURED,
    paths.EXAMINATION,
    paths.WATCH_LIST,
    paths.WATCH_HERE,
)
_FOR = {paths.INSPECTED.name: paths.MANIFEST, paths.MEASURED.name: paths.EXAMINATION}  # parts of no folder of their own
_BY_FAMILY = (paths.EMBEDDINGS, paths.EVALUATIONS, paths.CROSSVAL, paths.MODELS, paths.METRICS, paths.WATCH_SEEN)
_DEPTH = 4  # metrics/crossval/<family>/fold1
_TEMPORARY = (Path(".dvc/tmp/exps"), Path(".dvc/tmp/exps/standalone"))  # of the queue; of --temp
_WAITING = 14 * 86_400.0  # seconds for which finished parts wait for a run that goes on from them


def remove_leftovers(project: Path) -> str | None:
    """Removes them; one line that says what, or None. project: the folder of dvc.yaml."""
    found = [*_list_partial(project), *_list_workspaces(project), *_list_git_locks(project)]
    found += (project / ".cache").glob("cluster-*")  # of pipeline.runtime.cluster and cluster_stages
    if not found or is_at_work(project):
        return None
    size = sum(map(_measure, found))
    for path in found:
        remove(path)
    names = ", ".join(os.path.relpath(path, project) for path in found[:3]) + (", …" if len(found) > 3 else "")
    return (
        f"removed {len(found)} unfinished file(s) or folder(s) of runs that were killed, {size / 1e6:,.1f} MB: {names}"
    )


def _list_partial(project: Path) -> list[Path]:
    singles = (project / f"{path}.partial" for path in _SINGLE)
    found = [partial for partial in singles if partial.exists() or partial.is_symlink()]
    found += (project / paths.SPLITS.parent).glob(".near-*.partial")
    for folder in _BY_FAMILY:
        for depth in range(_DEPTH):
            found += (project / folder).glob("*/" * depth + "*.partial")
    return [path for path in found if not any(map(_waits, (path, *path.parents)))]


def _waits(path: Path) -> bool:
    """Whether it has parts from which the next run goes on; not if the output is there, as after DVC took it from its cache."""
    if read_key(path) is None:
        return False
    name = path.name.removesuffix(".partial")
    output = path.with_name(_FOR[name].name if name in _FOR else name)
    return not output.exists() and time.time() - path.stat().st_mtime < _WAITING


def _list_workspaces(project: Path) -> list[Path]:
    return [
        folder
        for place in _TEMPORARY
        for folder in (project / place).glob("tmp*")
        if folder.is_dir() and not folder.is_symlink()
    ]


def _list_git_locks(project: Path) -> list[Path]:
    """Only DVC writes below refs/exps. Where git's folder is outside the project, as of a worktree, it is found too."""
    folder = (ask_git("-C", str(project), "rev-parse", "--git-common-dir") or "").strip()
    return sorted((project / folder / "refs" / "exps").rglob("*.lock")) if folder else []


def _measure(path: Path) -> int:
    """Bytes of files, without what links lead to and what DVC's cache has too."""
    files = chain([path], path.rglob("*") if path.is_dir() and not path.is_symlink() else [])
    stats = [file.lstat() for file in files if not file.is_dir()]
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)
