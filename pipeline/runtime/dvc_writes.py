"""Whole files in place of those that DVC writes in place: dvc.lock, and who reads and writes what.

DVC opens such a file, which empties it, and then takes up to 0.4 s to write it. Killed in between, it leaves a part. Here it
writes beside it, and renames: at any moment there is the file as it was before, or as it is after.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.runtime.files import write_aside


def replace_whole(file: Path, content: bytes) -> None:
    """Writes a file, on the disk before it takes the place of the one before, whose mode it keeps; of a link, its target."""
    file = file.resolve()
    with write_aside(file) as partial, partial.open("wb") as stream:
        if file.exists():
            os.fchmod(stream.fileno(), file.stat().st_mode & 0o7777)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def make_dvc_write_whole() -> None:
    """From here on, DVC writes its YAML, its JSON and its list of users so in this process. Imports DVC."""
    from dvc import rwlock
    from dvc.utils.serialize import _common, _json, _yaml

    edit = rwlock._edit_rwlock
    if getattr(edit, "writes_whole", False):
        return

    def edit_whole(folder: str, files: Any, hardlink: bool) -> Any:
        return edit(folder, _WholeFiles(files), hardlink)

    edit_whole.writes_whole = True  # type: ignore[attr-defined]
    rwlock._edit_rwlock = edit_whole
    for module in (_common, _json, _yaml):
        module._dump_data = _dump_whole


def _dump_whole(path: Any, data: Any, dumper: Callable[..., None], fs: Any = None, **options: Any) -> None:  # noqa: ARG001
    """What DVC calls _dump_data. fs: DVC's local files."""
    text = io.StringIO()
    dumper(data, text, **options)
    replace_whole(Path(path), text.getvalue().encode())


class _WholeFiles:
    """DVC's local files; what is opened to be written is written aside."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    @contextmanager
    def open(self, path: str, mode: str = "r", **options: Any) -> Iterator[Any]:
        """As DVC's."""
        if mode != "w":
            with self._files.open(path, mode, **options) as stream:
                yield stream
            return
        text = io.StringIO()
        yield text
        replace_whole(Path(path), text.getvalue().encode())
