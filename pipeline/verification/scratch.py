"""A copy of the project as it is, at another path, in which stages run again and nothing leads back to the project."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import remove
from pipeline.runtime.git import ask_git
from pipeline.verification.conditions import FOLDER

# Where `dvc exp run --temp` works too: on the project's disk, ignored by git, and relative paths mean what they mean in the
# project (pipeline/sources/local_paths.py).
_PLACE = Path(".dvc/tmp/exps")
_TEMPORARY = _PLACE / "standalone"  # of which pipeline.runtime.leftovers removes what killed runs left
_NEW = (
    "pipeline",
    "stages",
    "data/watch",
    ".dvc/plots",
)  # where files that git does not know yet belong to the project


@contextmanager
def open_scratch(project: Path, *, keep: bool = False) -> Iterator[Path]:
    """Yields the copy: what git tracks, as it is in the workspace, without outputs that only DVC has. keep: leave it there.
    Raises PipelineError where git can't say what belongs to the project."""
    files = _list_files(project)
    place = project / (_PLACE if keep else _TEMPORARY)
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    place.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix="verify-" if keep else "tmp-verify-", dir=place))
    try:
        folder = _clone(project, holder / FOLDER)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project / file, folder / file, follow_symlinks=False)
        _set_own_cache(folder)
        yield folder
    finally:
        if not keep:
            shutil.rmtree(holder, ignore_errors=True)
            with suppress(OSError):  # not empty: somebody else uses it by now
                for empty in made:
                    empty.rmdir()


def _list_files(project: Path) -> list[str]:
    """Relative to the project: what git tracks and what is new beside it."""
    tracked = ask_git("-C", str(project), "ls-files", "-z", "--cached")
    new = ask_git("-C", str(project), "ls-files", "-z", "--others", "--exclude-standard", "--", *_NEW)
    if tracked is None or new is None:
        raise PipelineError(
            f"git can't list the files of {project}: expected a clone of the project, and git on the PATH"
        )
    names = dict.fromkeys(f"{tracked}{new}".split("\0"))
    return [name for name in names if name and ((project / name).is_file() or (project / name).is_symlink())]


def _clone(project: Path, top: Path) -> Path:
    """A repository of its own on the project's commit; returns the folder in it that is the project's."""
    root, prefix = (
        (ask_git("-C", str(project), "rev-parse", f"--show-{what}") or "").rstrip("\n")
        for what in ("toplevel", "prefix")
    )
    command = ["git", "clone", "--quiet", "--shared", "--no-checkout", root, str(top)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise PipelineError(f"git can't clone {root}: {' '.join(done.stderr.split())}")
    ask_git("-C", str(top), "reset", "--quiet")
    return top / prefix


def _set_own_cache(folder: Path) -> None:
    """No cache that the user shares between projects: trials and checkpoints lie beside it, and would be found again."""
    (folder / ".dvc").mkdir(exist_ok=True)
    remove(folder / ".dvc" / "config.local")
    (folder / ".dvc" / "config.local").write_text("[cache]\n    dir = cache\n")
