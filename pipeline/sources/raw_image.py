"""What every source yields."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.sources.formats import MAX_IMAGE_BYTES
from pipeline.sources.local_folder import describe_special


@dataclass(frozen=True)
class RawImage:
    """One file as the source has it.

    name: path inside the source, with forward slashes; unique. label: class name. source_split: train, val, test, or
    empty if the source has no splits. data: the encoded bytes, or None if they could not be read; then reason says why.
    group: of images that belong together (a patient, a camera), or empty. time: when it was taken, as the source writes it, or
    empty. path: of a file in a local folder, where in it; otherwise empty.

    folder: of a file that lies in a local folder and is still to be read, that folder; otherwise empty. Then data is None, and
    size is how many bytes were listed. One with a reason is not read.
    """

    name: str
    label: str
    source_split: str
    data: bytes | None
    reason: str = ""
    group: str = ""
    time: str = ""
    path: str = ""
    folder: str = ""
    size: int = 0


def read_file(file: Path) -> tuple[bytes | None, str]:
    """The bytes of a local file, or None and the reason why it can't be used."""
    try:
        status = file.stat()
        if what := describe_special(status.st_mode):
            return None, f"{what}: reading it may never end"
        if status.st_size > MAX_IMAGE_BYTES:
            return None, f"too large: {status.st_size / 1e6:.0f} MB"
        return file.read_bytes(), ""
    except OSError as error:
        return None, f"not readable: {error.strerror}"
