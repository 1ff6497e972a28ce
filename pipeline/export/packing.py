"""One zip of a family's exported files, with the same bytes each time."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.runtime.files import write_aside

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def save_zip(target: Path, folder: Path, files: list[Path], texts: Mapping[str, str]) -> None:
    """Everything lies in a folder of the target's name. files: below `folder`. texts: more files, name to content."""
    contents = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
    contents |= {name: text.encode() for name, text in texts.items()}
    with write_aside(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(f"{target.stem}/{name}", _EPOCH)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, contents[name])
