"""Which processes have ended, which are at work in a folder, and stages that end with the DVC that started them."""

import os
import select
import threading
from contextlib import suppress
from pathlib import Path

DVC_PID = "IMAGE_PIPELINE_DVC_PID"  # variable: the number of the `dvc` that runs this, for its stages
_ORPHANED = 143  # exit status, as after SIGTERM
_CLOCK_STEP = 2.0  # seconds by which a file system's clock and the processes' may differ


def end_with_dvc() -> None:
    """In a stage that DVC runs: ends this process, and so its workers, when that DVC has been killed. It would go on writing
    while the next one runs the same stage."""
    if os.environ.get("DVC_STAGE"):
        end_with(_find_dvc())


def end_with(pid: int) -> None:
    """Ends this process when another one has ended; at once if it has already. Only where the kernel tells of it: Linux."""
    if hasattr(os, "pidfd_open"):
        threading.Thread(target=_end_after, args=(pid,), daemon=True).start()


def _find_dvc() -> int:
    """The number of the DVC that started this stage. It may be gone by now, or be behind a shell: then the `dvc` of this
    environment has left it in a variable."""
    parent = os.getppid()
    with suppress(OSError):
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        if any(word.rpartition(b"/")[2] == b"dvc" for word in words[:3]):  # python, dvc, repro
            return parent
    return int(os.environ.get(DVC_PID) or parent)


def _end_after(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(_ORPHANED)
    except OSError:  # a kernel that can't
        return
    select.select([handle], [], [])
    os._exit(_ORPHANED)


def has_ended(pid: int, since: float) -> bool:
    """Whether the process that had this number at a time (seconds since 1970) has ended. It may belong to a later one now. One
    that was killed and that nobody waits for, as in a container without init, has ended too."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > since + _CLOCK_STEP
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:  # another user's
        return False


def is_at_work(folder: Path) -> bool:
    """Whether another process, of this user or any that can be seen, runs in this folder or below it: a stage, DVC, a queue."""
    import psutil

    folder, own = folder.resolve(), {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter(["pid", "cwd", "cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.pid in own or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        if ("dvc" in words or "stages" in words) and Path(process.info["cwd"] or "/").is_relative_to(folder):
            return True
    return False
