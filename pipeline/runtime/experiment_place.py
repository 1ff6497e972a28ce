"""What `dvc exp run --temp` and DVC's queue fail on before any stage runs, in words and with the command that mends it.

DVC copies the project's own git and DVC settings into the workspace of such an experiment, and can write ASCII only; what is
not committed goes there as a git stash, which needs a name and an address.
"""

import os
import re
import shlex
from pathlib import Path

from pipeline.runtime.git import ask_git
from pipeline.runtime.lifetime import is_at_work

NO_IDENTITY = (
    "git has no user.name and user.email, which experiments need where files differ from the commit: "
    '`git config user.name "Your Name"` and `git config user.email you@example.com`'
)
_PACKED = ".dvc/tmp/repro.dat"  # which DVC stages for a moment
_MOVED = re.compile(r"checkout: moving from (\S+) to")
_WHERE = "with which DVC can't prepare --temp and --queue"


def find_faults(project: Path, cache: Path) -> list[str]:
    """One line each; none where experiments can run beside the workspace. project: absolute, a clone. cache: DVC's."""
    faults = [NO_IDENTITY] if not has_identity(project) and _is_changed(project) else []
    return [*faults, *_find_letters(project, cache)]


def explain_torn(project: Path) -> str | None:
    """What to do where a DVC was killed in the second in which it prepares an experiment: it leaves the experiment's values in
    params.yaml, git on no branch, and changes that were not committed in git's stash. None: all is well."""
    staged = ask_git("-C", str(project), "diff", "--cached", "--name-only", "--", _PACKED)
    if not (staged or "").strip() or is_at_work(project):
        return None
    moved = _MOVED.match(ask_git("-C", str(project), "log", "--walk-reflogs", "-1", "--format=%gs", "HEAD") or "")
    return (
        "a DVC was killed while it prepared an experiment: its values are in params.yaml, git is on no branch: expected the "
        f"project as it was: `git checkout --force {moved[1] if moved else 'BRANCH'}`, then, if `git stash list` has changes "
        "of yours, `git stash pop`, and run again"
    )


def has_identity(project: Path) -> bool:
    """Whether git knows who commits, as DVC asks it."""
    return all(
        os.environ.get(f"GIT_COMMITTER_{key.upper()}")
        or (ask_git("-C", str(project), "config", f"user.{key}") or "").strip()
        for key in ("name", "email")
    )


def _is_changed(project: Path) -> bool:
    return bool((ask_git("-C", str(project), "status", "--porcelain", "--untracked-files=no") or "").strip())


def _find_letters(project: Path, cache: Path) -> list[str]:
    """Where there are other characters than ASCII."""
    faults = []
    if not str(cache).isascii():
        faults.append(
            f"DVC's cache is {cache}, {_WHERE}: expected a path of ASCII letters; choose one on the same disk by "
            f"`dvc cache dir --local FOLDER`, then `cp -al {shlex.quote(str(cache))}/. FOLDER`"
        )
    for name, value in _list_settings(project):
        if value.isascii():
            continue
        if name in ("user.name", "user.email"):
            mend = f"`git config --global {name} {shlex.quote(value)} && git config --unset {name}`"
        else:
            mend = f"change it, or leave it out by `git config --unset {name}`"
        faults.append(f"git's setting {name} of this project is {value!r}, {_WHERE}: expected ASCII letters: {mend}")
    local = project / ".dvc" / "config.local"
    if local.exists() and not local.read_bytes().isascii() and not faults:
        faults.append(f"{local.relative_to(project)} has other letters than ASCII, {_WHERE}: change what it names")
    return faults


def _list_settings(project: Path) -> list[tuple[str, str]]:
    """The project's own settings of git, by name."""
    entries = (ask_git("-C", str(project), "config", "--local", "--list", "--null") or "").split("\0")
    return [(name, value) for name, _, value in (entry.partition("\n") for entry in entries) if name]
