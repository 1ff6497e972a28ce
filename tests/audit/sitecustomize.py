"""Loaded by every Python that starts with this folder on PYTHONPATH: notes each file of the project that a stage opens for
reading or writing, relative to the folder in which the stage starts.

The list of the stage train@underfit of DVC, or of `python -m stages.train underfit`, goes to the file `train underfit` in the
folder that AUDIT names. Worker processes start their own Python, and are noted where the stage that started them is.
"""

import os
import sys


def _name_log() -> str | None:
    """None in a process that is no stage's."""
    command = sys.orig_argv
    if "AUDIT" in os.environ and "-m" in command:
        module, *arguments = command[command.index("-m") + 1 :]
        if module.startswith("stages."):
            arguments = arguments or os.environ.get("DVC_STAGE", "").split("@")[1:]
            os.environ["AUDIT_LOG"] = os.path.join(  # noqa: PTH118 - pathlib would open more files
                os.environ["AUDIT"], " ".join([module.removeprefix("stages."), *arguments]).replace(os.sep, "_")
            )
            os.environ["AUDIT_ROOT"] = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - as above
    return os.environ.get("AUDIT_LOG")


def _note(arguments: tuple) -> None:
    path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - as above
    if not path.startswith(_ROOT):  # Python's own files, thousands per stage
        return
    path = path.removeprefix(_ROOT)
    descriptor = os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # audited under this name too
    os.write(descriptor, f"{path}\n".encode(errors="replace"))
    os.close(descriptor)


_LOG = _name_log()
_ROOT = os.environ.get("AUDIT_ROOT", "")

if _LOG:
    _busy = False

    def _hook(event: str, arguments: tuple) -> None:
        global _busy
        if not _busy and event == "open" and isinstance(arguments[0], str | bytes):
            _busy = True
            try:
                _note(arguments)
            finally:
                _busy = False

    sys.addaudithook(_hook)
