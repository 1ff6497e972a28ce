"""data/raw: the files of a source, their bytes unchanged, in a few large uncompressed tars, and an index of where each is: in a
tar, or where it was found (`pipeline.data.references`)."""

import csv
import json
import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.data.packing import pack_images
from pipeline.data.references import is_reference, read_reference, save_root
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import RAW
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import SourceFacts

if TYPE_CHECKING:
    import pandas as pd

_INDEX = "index.csv"
_FACTS = "source.json"
NOTES = {"group": "groups.csv", "time": "times.csv"}  # what only some sources say of their images
_SHARD_BYTES = 256 << 20  # a new tar is started after this much
_SHOWN = 3  # reasons
INDEX_COLUMNS = ["name", "label", "source_split", "shard", "offset", "size", "reason"]


def save_raw(images: Iterable[RawImage], facts: SourceFacts, folder: Path = RAW, *, root: str | None = None) -> int:
    """Writes all images and the index; returns how many files have bytes. Raises PipelineError if none has.

    facts: what else is known about the source, kept in source.json; read after the last image, so that a source may add to it.
    groups.csv and times.csv are written if an image has a group or a time. Writes all or nothing.

    root: of a local folder, its path as the user wrote it: then its pictures stay there, and no tar is written.
    """
    with folder_aside(folder) as partial:
        written, reasons = _write_images(images, partial, root is not None)
        if not written:
            received = ", ".join(f"{count:,} file(s) ({reason})" for reason, count in reasons.most_common(_SHOWN))
            raise PipelineError(
                f"source {facts['source']!r} has no image: expected <class>/<name>.jpg, .png, .bmp, .gif, .webp, .tif or .ppm"
                + (f"; received {received}" if received else "")
            )
        if root is not None:
            save_root(root, partial)
        (partial / _FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return written


def _write_images(images: Iterable[RawImage], folder: Path, stay: bool) -> tuple[int, Counter[str]]:
    """How many files have bytes, and why others have none."""
    written, reasons = 0, Counter[str]()
    notes: dict[str, list[tuple[str, str]]] = {column: [] for column in NOTES}
    with (folder / _INDEX).open("w", newline="", encoding="utf-8") as file, _ShardWriter(folder) as shards:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(INDEX_COLUMNS)
        for image, packed in pack_images(images, stay=stay):
            place: tuple[str, int | str] = ("", "")
            if packed.size is not None:
                place = (packed.reference, 0) if stay else shards.write(packed.header, packed.data)
                written += 1
            else:
                reasons[packed.reason] += 1
            size = "" if packed.size is None else packed.size
            rows.writerow([image.name, image.label, image.source_split, *place, size, packed.reason])
            for column, said in notes.items():
                if value := getattr(image, column):
                    said.append((image.name, value))
    for column, said in notes.items():
        if said:
            _save_notes(column, said, folder)
    return written, reasons


def _save_notes(column: str, said: list[tuple[str, str]], folder: Path) -> None:
    """name and the column: a row for each image that has one."""
    with (folder / NOTES[column]).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("name", column), *said])


class _ShardWriter:
    """Tars of about 256 MB."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        self._name = ""
        self._file: BinaryIO | None = None
        self._offset = 0

    def __enter__(self) -> "_ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def write(self, header: bytes, data: bytes) -> tuple[str, int]:
        """Appends one file; returns the shard's name and where in it the bytes are."""
        file = self._begin() if self._file is None or self._offset > _SHARD_BYTES else self._file
        padding = bytes(-len(data) % tarfile.BLOCKSIZE)
        for part in (header, data, padding):
            file.write(part)
        start = self._offset + len(header)
        self._offset = start + len(data) + len(padding)
        return self._name, start

    def _begin(self) -> BinaryIO:
        self._end()
        self._number += 1
        self._name, self._offset = f"images-{self._number:05d}.tar", 0
        self._file = (self._folder / self._name).open("wb")
        return self._file

    def _end(self) -> None:
        """Two empty blocks, and more up to a whole record, as tarfile ends a tar."""
        file, self._file = self._file, None
        if file is not None:
            with file:
                end = self._offset + 2 * tarfile.BLOCKSIZE
                file.write(bytes(end - self._offset + -end % tarfile.RECORDSIZE))


def load_labels(folder: Path = RAW) -> "pd.Series":
    """The column `label` of `load_index`, in a fraction of its memory."""
    import pandas as pd

    return pd.read_csv(folder / _INDEX, usecols=["label"], dtype="str", keep_default_na=False)["label"]


def load_index(folder: Path = RAW) -> "pd.DataFrame":
    """INDEX_COLUMNS, one row per file of the source; shard, offset and size are missing where reason says why.

    If the source has groups of images that belong together, there is a column `group`, empty where an image has none; likewise
    `time`, if it says when images were taken.
    """
    import pandas as pd  # half of the time in which download's workers start

    text = dict.fromkeys(["name", "label", "source_split", "shard", "reason"], "str")
    index = pd.read_csv(
        folder / _INDEX,
        dtype={**text, "offset": "Int64", "size": "Int64"},
        keep_default_na=False,
        na_values={"offset": [""], "size": [""]},
    )
    for column, name in NOTES.items():
        if (folder / name).exists():
            notes = pd.read_csv(folder / name, dtype="str", keep_default_na=False)
            index[column] = index["name"].map(notes.set_index("name")[column]).fillna("")
    return index


def load_facts(folder: Path = RAW) -> SourceFacts:
    """The facts that `save_raw` was given."""
    facts: SourceFacts = json.loads((folder / _FACTS).read_text())
    return facts


def read_bytes(shard: str, offset: int, size: int, folder: Path = RAW) -> bytes:
    """The encoded bytes of one image."""
    return next(read_many([(shard, offset, size)], folder))


def read_many(locations: Iterable[tuple[str, int, int]], folder: Path = RAW) -> Iterator[bytes]:
    """The encoded bytes of many images in the order of `locations`, (shard, offset, size) each; each shard is opened once.

    Raises PipelineError for a picture outside data/raw that is not what it was.
    """
    with ExitStack() as stack:
        shards: dict[str, BinaryIO] = {}
        for shard, offset, size in locations:
            if is_reference(shard):
                yield read_reference(shard, size, folder)
                continue
            if shard not in shards:
                # Unbuffered: reads only the bytes wanted, not whole blocks around them.
                shards[shard] = stack.enter_context((folder / shard).open("rb", buffering=0))
            yield os.pread(shards[shard].fileno(), size, offset)
