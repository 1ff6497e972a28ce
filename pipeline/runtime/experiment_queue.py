"""Experiments of DVC's queue whose run was killed: back into the queue, from which `dvc queue start` takes them again.

A worker takes an experiment's message out of the folder of those that wait, and its commit out of the stash, before it runs it.
Killed, it leaves both nowhere: DVC shows the experiment as Running for ever, and no worker takes it up again. The run itself,
a process of the worker's, would go on, and nobody would collect its result: it ends with its worker.
"""

import json
import os
import select
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.lifetime import is_at_work

if TYPE_CHECKING:
    from dvc.repo.experiments.queue.base import QueueEntry
    from dvc.repo.experiments.queue.celery import LocalCeleryQueue

_FOLDER = Path(".dvc/tmp/exps/celery")
_TAKEN = "broker/processed"
_WAITING = "in"  # beside it
_RESULT = "result/celery-task-meta-{}"
_WORKER = "queue-worker"  # of `dvc exp queue-worker`
_ORPHANED = 143  # exit status, as after SIGTERM


def end_with_worker() -> None:
    """In the run of one experiment of the queue: ends this process when the worker that started it has been killed."""
    import psutil

    try:
        worker = psutil.Process(os.getppid())
        if _WORKER in worker.cmdline() and hasattr(os, "pidfd_open"):  # Linux
            threading.Thread(target=_end_after, args=(os.pidfd_open(worker.pid),), daemon=True).start()
    except (psutil.Error, OSError):  # it has ended, or a kernel that can't
        return


def _end_after(worker: int) -> None:
    """worker: a descriptor, which tells of its end also where nobody waits for it, as in a container without init."""
    select.select([worker], [], [])
    os._exit(_ORPHANED)


def requeue_killed(project: Path) -> str | None:
    """Puts experiments back whose run was killed; one line that says which, or None. Nothing is touched while another DVC or
    stage runs in the project: it may be their worker. project: the folder of dvc.yaml."""
    taken = _find_taken(project)
    if not taken or is_at_work(project):
        return None
    from dvc.repo import Repo

    with Repo(str(project)) as repo:
        queue = repo.experiments.celery_queue
        back = [
            task.entry.name or task.entry.stash_rev[:7]
            for task in queue._iter_active_tasks()
            if _requeue(queue, task.entry, task.async_result.id, taken[task.async_result.id])
        ]
    if not back:
        return None
    return (
        f"{len(back)} experiment(s) whose run was killed are in the queue again ({', '.join(back)}): `dvc queue start`"
    )


def _find_taken(project: Path) -> dict[str, Path]:
    """Messages that a worker took and that have no result, by the number of the task. DVC, which knows them too, takes a second
    to load."""
    taken = {}
    for file in sorted((project / _FOLDER / _TAKEN).glob("*.celery.msg")):
        try:
            number = json.loads(file.read_bytes())["headers"]["id"]
        except (ValueError, KeyError, TypeError):  # never written to its end, as on a full disk: it names no experiment
            file.unlink(missing_ok=True)
            continue
        if not _is_whole(project / _FOLDER / _RESULT.format(number)):
            taken[number] = file
    return taken


def _is_whole(result: Path) -> bool:
    """Whether there is a result. One that was cut off, which no command of the queue could read, is removed."""
    try:
        json.loads(result.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        result.unlink()
        return False
    return True


def _requeue(queue: "LocalCeleryQueue", entry: "QueueEntry", number: str, message: Path) -> bool:
    """False if it needs none: its result was collected, and only the note of that is missing."""
    if _is_collected(queue, entry):
        queue.celery.backend.mark_as_done(number, None)
        return False
    if entry.stash_rev not in queue.stash.stash_revs:
        said = queue.stash.format_message(
            entry.head_rev, baseline_rev=entry.baseline_rev, name=entry.name, branch=entry.branch
        )
        # As DVC keeps what failed. The commit is git's still, which forgets what nothing leads to after two weeks.
        queue.scm.set_ref(queue.stash.ref, entry.stash_rev, message=f"commit: {said}")
    message.replace(message.parents[1] / _WAITING / message.name)
    return True


def _is_collected(queue: "LocalCeleryQueue", entry: "QueueEntry") -> bool:
    """Whether the experiment has ended and is among those of the project."""
    try:
        reference = queue._load_info(entry.stash_rev).result_ref
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return False
    return bool(reference) and queue.scm.get_ref(reference) is not None
