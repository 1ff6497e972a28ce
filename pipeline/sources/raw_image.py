"""What every source yields."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawImage:
    """One file as the source has it.

    name: path inside the source, with forward slashes; unique. label: class name. source_split: train, val, test, or
    empty if the source has no splits. data: the encoded bytes, or None if they could not be read; then reason says why.
    group: of images that belong together (a patient, a camera), or empty. time: when it was taken, as the source writes it, or
    empty. path: of a file in a local folder, where in it; otherwise empty.
    """

    name: str
    label: str
    source_split: str
    data: bytes | None
    reason: str = ""
    group: str = ""
    time: str = ""
    path: str = ""
