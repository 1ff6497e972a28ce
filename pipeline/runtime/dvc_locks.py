"""DVC's own notes, mended where a DVC that was killed, or a full disk, left them half-written.

DVC rewrites dvc.lock in place after each stage. Killed meanwhile, it leaves a file that it refuses to read for ever, or one
that parses and has lost its end. It notes who reads and writes which file in .dvc/tmp/rwlock, in place too: an empty one stops
every later command, and an entry of a dead process does once its number belongs to another one. The lock of the whole
repository, .dvc/tmp/lock, needs no mending: the system takes it from a process that ends.

`dvc` and `python -m stages.check` call this before anything else.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.dvc_writes import replace_whole
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.git import ask_git
from pipeline.runtime.lifetime import has_ended

_LOCKS = (Path("dvc.lock"), Path("data/watch/dvc.lock"))
_TMP = Path(".dvc/tmp")
_USERS = (_TMP, _TMP / "exps")  # where there is a list of who uses what: in the project, and of experiments
_HEAD = "schema: '2.0'\nstages:\n"
_ENTRY = re.compile(r"^(?=  [^\s:#])", re.MULTILINE)  # where a stage begins; the lines below it are indented further
_CONFLICT = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
_DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # everything is text, so that no value can be wrong
_UNREADABLE = -1
_PATIENCE = 3.0  # seconds to wait for a DVC that is at work, as DVC itself does


def mend_locks(project: Path) -> list[str]:
    """Mends what is damaged; one line for each. project: the folder of dvc.yaml. Raises PipelineError for what a person has to
    decide: dvc.lock with both sides of a merge."""
    if os.environ.get("DVC_STAGE"):  # a stage that DVC runs: these files are in use
        return []
    said = [_mend_rwlock(project, folder) for folder in _USERS] + [_mend_lock(project, lock) for lock in _LOCKS]
    return [line for line in said if line]


def mend_here() -> None:
    """The same in the current folder, for a verb: it may come before a `dvc` that is not this environment's."""
    for line in mend_locks(Path()):
        logging.getLogger(__name__).warning("%s", line)


def _mend_lock(project: Path, lock: Path) -> str | None:
    text = _read(project / lock)
    if text is None:
        return None
    committed = ask_git("-C", str(project), "show", f"HEAD:./{lock}")
    if text == committed or find_mended(lock, text, committed) is None or _is_older(project, lock, text):
        return None
    with _locked(project / _TMP / "lock"):  # DVC may be writing it at this moment
        mended = find_mended(lock, _read(project / lock) or "", committed)
        if mended is None:
            return None
        content, kept = mended
        if content:
            replace_whole(project / lock, content.encode())
        else:
            (project / lock).unlink()
    others = "the others as committed" if committed else "the others are lost"
    return f"{lock} was left half-written, as by a DVC that is killed: mended; {kept} stage(s) as in it, {others}"


def _is_older(project: Path, lock: Path, text: str) -> bool:
    """Whether it is whole, and any commit or experiment has it: brought back, it has fewer stages than the last one."""
    git = ("-C", str(project))
    found = ask_git(*git, "hash-object", str(lock)) if _is_whole(text) else None
    return found is not None and ask_git(*git, "cat-file", "-e", found.strip()) is not None


def find_mended(lock: Path, text: str, committed: str | None) -> tuple[str, int] | None:
    """What is to be in a damaged dvc.lock, and how many stages in it come from the damaged one; None if it is whole.

    text: what is in it. committed: what the last commit has, if anything. Of the damaged file, stages count up to the one that
    was being written. A stage that is noted as it was once costs nothing: DVC finds that it differs. The order is that of the
    commit, as DVC keeps it. Raises PipelineError where the file holds both sides of a merge.
    """
    if _CONFLICT.search(text):
        raise PipelineError(
            f"{lock} has both sides of a git merge: expected one; `git checkout --ours {lock}` or `--theirs`, "
            f"`git add {lock}`, then `dvc repro`, which runs what differs"
        )
    before = _split(committed or "")
    if _is_whole(text) and not _lost_end(_split(text), before):
        return None
    entries = _list_whole(text)
    entries.pop(next(reversed(entries), ""), None)  # the last one may be half of what it was
    content = "".join({**before, **entries}.values())
    return (_HEAD + content if content else ""), len(entries)


def _lost_end(now: dict[str, str], before: dict[str, str]) -> bool:
    """Whether the last stages of the committed file are missing, and only these. DVC itself never drops a stage. now: none if
    somebody wrote the file in another form."""
    missing = [key for key in before if now and key not in now]
    return bool(missing) and missing == list(before)[-len(missing) :]


def _split(text: str) -> dict[str, str]:
    """The lines of each stage, by the first of them; nothing if the file does not begin as DVC writes it."""
    if not text.startswith(_HEAD):
        return {}
    blocks = _ENTRY.split(text[len(_HEAD) :])
    return {block.partition("\n")[0]: block for block in blocks if block.strip()}


def _list_whole(text: str) -> dict[str, str]:
    """The stages before the first one that is damaged."""
    found = {}
    for key, block in _split(text).items():
        if not _is_whole(_HEAD + block):
            break
        found[key] = block
    return found


def _is_whole(text: str) -> bool:
    """Whether DVC would read it, and wrote it to its end."""
    if not text.endswith("\n"):
        return False
    try:
        content = yaml.load(text, _LOADER)  # noqa: S506 - makes nothing but text
    except yaml.YAMLError:
        return False
    if not isinstance(content, dict) or content.get("schema") != "2.0":
        return False
    stages = content.get("stages")
    return isinstance(stages, dict) and all(map(_is_stage, stages.values()))


def _is_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or not isinstance(stage.get("cmd"), str | list):
        return False
    files = [stage.get("deps", []), stage.get("outs", [])]
    return (
        stage.keys() <= {"cmd", "deps", "params", "outs"}
        and isinstance(stage.get("params", {}), dict)
        and all(isinstance(part, dict) for part in stage.get("params", {}).values())
        and all(isinstance(part, list) and all(map(_is_file, part)) for part in files)
    )


def _is_file(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return False
    digest = entry.get("md5", "0" * 32)
    return isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None


def _mend_rwlock(project: Path, folder: Path) -> str | None:
    file = project / folder / "rwlock"
    if not _find_stale(file):
        return None
    with _locked(file.with_name("rwlock.lock")):  # under which DVC writes it
        stale = _find_stale(file)
        if not stale:
            return None
        content = _drop(json.loads(file.read_bytes()), stale) if stale != [_UNREADABLE] else {"read": {}, "write": {}}
        replace_whole(file, json.dumps(content).encode())
    said = (
        "was damaged" if stale == [_UNREADABLE] else f"named processes that have ended ({', '.join(map(str, stale))})"
    )
    return f"{folder}/rwlock, in which DVC notes who uses which file, {said}: mended"


def _find_stale(file: Path) -> list[int]:
    """Numbers of processes that the file names and that have ended; _UNREADABLE alone if DVC can't read it."""
    try:
        content = json.loads(file.read_bytes())
        pids = {int(user["pid"]) for user in _list_users(content)}
        written = file.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, TypeError, KeyError, AttributeError):
        return [_UNREADABLE]
    return [pid for pid in sorted(pids) if has_ended(pid, written)]


def _list_users(content: Any) -> list[dict[str, Any]]:
    """{"write": {path: user}, "read": {path: [user]}}"""
    users = [*content.get("write", {}).values()]
    for readers in content.get("read", {}).values():
        users += readers
    if content.keys() - {"read", "write"} or not all(isinstance(user["cmd"], str) for user in users):
        raise ValueError
    return users


def _drop(content: dict[str, Any], pids: list[int]) -> dict[str, Any]:
    """Without what these processes hold."""
    read = {
        path: [user for user in users if user["pid"] not in pids] for path, users in content.get("read", {}).items()
    }
    return {
        "write": {path: user for path, user in content.get("write", {}).items() if user["pid"] not in pids},
        "read": {path: users for path, users in read.items() if users},
    }


def _read(file: Path) -> str | None:
    """None: it is not there. Bytes that are no text make the file a damaged one."""
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds a lock of DVC's. Raises PipelineError if another DVC keeps it for longer than DVC would wait."""
    from zc.lockfile import LockError, SimpleLockFile  # what DVC uses

    file.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            lock = SimpleLockFile(str(file))
            break
        except LockError as error:
            if time.monotonic() > end:
                raise PipelineError(
                    "another DVC is at work in this project: wait until it has ended, then run again"
                ) from error
            time.sleep(_PATIENCE / 30)
    try:
        yield
    finally:
        lock.close()
