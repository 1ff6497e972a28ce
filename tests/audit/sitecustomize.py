"""Loaded by every Python that starts with this folder on PYTHONPATH: notes each file that it opens for reading or writing.

Worker processes start their own Python and so are noted too. The list goes to the file that AUDIT_LOG names.
"""

import os
import sys

_LOG = os.environ.get("AUDIT_LOG")


def _note(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - pathlib would open more files
        descriptor = os.open(
            _LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
        )  # os.open is audited under this name too
        os.write(descriptor, f"{path}\n".encode(errors="replace"))
        os.close(descriptor)


if _LOG:
    _busy = False

    def _hook(event: str, arguments: tuple) -> None:
        global _busy
        if not _busy:
            _busy = True
            try:
                _note(event, arguments)
            finally:
                _busy = False

    sys.addaudithook(_hook)
