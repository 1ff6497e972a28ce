"""data/embeddings/<family>: a backbone's pooled features of every image, and of augmented views of the training images.

One .npy file per split, view and shard, with rows in the order of the TFRecords; memory-mapped, so that the memory needed does
not depend on the number of images. View 0 is the image itself; its mirror image is kept where models average both. Where
fine-tuning begins at a cut, the activations there are kept in the same way, of train and val, and mirror images of these only.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.families import FAMILIES
from pipeline.data.in_memory import allocate
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside, write_aside
from pipeline.runtime.paths import EMBEDDINGS

_FACTS = "embeddings.json"
_SHARD_ROWS = 16_384  # 84 MB of 1,280 float32 features
_CUT_BYTES = 84_000_000  # of a shard of activations
CUT_DTYPE = "float16"
MIRROR = -1  # the view of each image that is its mirror image, left to right


@dataclass(frozen=True)
class EmbeddingFacts:
    """key: digest of all that the features depend on. num_images: by split. views: augmented, of each training image. features:
    blocks of the backbone whose pooled outputs come before the last ones. cut: the block whose outputs, height × width ×
    channels, are kept for fine-tuning; None: of none. mirrored: whether mirror images are there, see `has_mirrors`."""

    backbone: str
    key: str
    weights_sha256: str
    num_features: int
    dtype: str
    views: int
    num_images: dict[str, int]
    features: list[int] = field(default_factory=list)
    cut: int | None = None
    cut_shape: list[int] = field(default_factory=list)
    mirrored: bool = False

    def has_mirrors(self, split: str) -> bool:
        """Whether the mirror images of a split are there. With a cut, those of test are not: they are measured from pixels."""
        return self.mirrored and (self.cut is None or split != "test")

    @property
    def training_views(self) -> list[int]:
        """What training from a cut on sees of each image: itself, augmented views, and its mirror image if that is there."""
        return [*range(self.views + 1), *([MIRROR] if self.mirrored else [])]


class Rows:
    """Rows of features from several files, concatenated."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        """arrays: (n, features) each, in order."""
        self._arrays = list(arrays)
        self._starts = np.concatenate([[0], np.cumsum([len(array) for array in self._arrays])])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def num_features(self) -> int:
        """The number of columns."""
        return self._arrays[0].shape[1]

    @property
    def num_bytes(self) -> int:
        """Of all rows, in the stored type."""
        return sum(array.nbytes for array in self._arrays)

    def load(self) -> np.ndarray:
        """All rows, (n, features), in the stored type, as `share` takes them."""
        rows = allocate((len(self), self.num_features), self._arrays[0].dtype)
        return np.concatenate(self._arrays, out=rows)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """float32 (len(rows), features). rows: int, in any order, repeated or not."""
        chosen = np.empty((len(rows), self.num_features), np.float32)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shards):
            here = shards == shard
            chosen[here] = self._arrays[shard][rows[here] - self._starts[shard]]
        return chosen


@dataclass(frozen=True)
class Embeddings:
    """What the stage embed has written for one family."""

    facts: EmbeddingFacts
    folder: Path

    def labels(self, split: str) -> np.ndarray:
        """int64 (n,), indices into class_names."""
        return np.load(self.folder / f"{split}-labels.npy")

    def features(self, split: str, *views: int) -> Rows:
        """The features of a split in these views, concatenated; without views, those of the images themselves."""
        return self._open([_name_view(split, view) for view in views or (0,)])

    def activations(self, split: str, *views: int) -> Rows:
        """The same of the activations at the cut, (n, height × width × channels) of `facts.cut_shape`."""
        return self._open([_name_cut(split, view) for view in views or (0,)])

    def _open(self, prefixes: Iterable[str]) -> Rows:
        files = [file for prefix in prefixes for file in sorted(self.folder.glob(f"{prefix}-*.npy"))]
        return Rows([np.load(file, mmap_mode="r") for file in files])


class ShardWriter:
    """Rows of one split and view, in shards. Those that a killed run has finished stay."""

    def __init__(self, folder: Path, prefix: str, dtype: str, shard_rows: int) -> None:
        self._folder, self._prefix, self._dtype, self._shard_rows = folder, prefix, dtype, shard_rows
        shards = sorted(folder.glob(f"{prefix}-*.npy"))
        self.there, self._shards = sum(len(np.load(file, mmap_mode="r")) for file in shards), len(shards)
        self._waiting: list[np.ndarray] = []
        self._total = 0

    def add(self, rows: np.ndarray | None, count: int) -> None:
        """The next rows, float (count, …). None: all of them are there already."""
        if rows is not None:
            self._waiting.append(rows.astype(self._dtype)[max(0, self.there - self._total) :])
        self._total += count
        while sum(map(len, self._waiting)) >= self._shard_rows:
            waiting = np.concatenate(self._waiting)
            self._waiting = [waiting[self._shard_rows :]]
            self._save(waiting[: self._shard_rows])

    def close(self) -> None:
        """Writes what is left; a shard without rows where there are none at all."""
        rows = np.concatenate(self._waiting) if self._waiting else np.empty(0)
        if len(rows) or not self._shards:
            self._save(rows)

    def _save(self, rows: np.ndarray) -> None:
        _save_array(self._folder / f"{self._prefix}-{self._shards:05d}.npy", rows)
        self._shards += 1


class EmbeddingWriter:
    """Writes one folder of embeddings, one shard at a time. Shards that a killed run has finished stay."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder, self._dtype = folder, dtype

    def count_rows(self, split: str, view: int) -> int:
        """How many rows of a split and view are there already, in finished shards."""
        return self._open(split, view).there

    def write(self, split: str, view: int, batches: Iterable[tuple[np.ndarray | None, np.ndarray]]) -> int:
        """Writes the features of a split and, with view 0, its labels; returns the number of images.

        batches: one or more, (features, float (n, features); labels, int64 (n,)) each. features: None where all of these rows
        are there already.
        """
        shards, labels = self._open(split, view), []
        for features, numbers in batches:
            shards.add(features, len(numbers))
            labels.append(numbers)
        shards.close()
        if view == 0:
            _save_array(self._folder / f"{split}-labels.npy", np.concatenate(labels))
        return sum(map(len, labels))

    def open_cut(self, split: str, view: int, width: int) -> ShardWriter:
        """For the activations at a cut, (n, width) each, which are stored as float16."""
        rows = max(1, min(_SHARD_ROWS, _CUT_BYTES // (2 * width)))
        return ShardWriter(self._folder, _name_cut(split, view), CUT_DTYPE, rows)

    def _open(self, split: str, view: int) -> ShardWriter:
        return ShardWriter(self._folder, _name_view(split, view), self._dtype, _SHARD_ROWS)


def _name_view(split: str, view: int) -> str:
    return f"{split}-mirror" if view == MIRROR else f"{split}-view{view:03d}"


def _name_cut(split: str, view: int) -> str:
    return f"{split}-cut-mirror" if view == MIRROR else f"{split}-cut{view:03d}"


def _save_array(file: Path, array: np.ndarray) -> None:
    """The bytes of np.save, which says of a full disk only how many numbers it asked for."""
    array = np.ascontiguousarray(array)
    with write_aside(file) as partial, partial.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)


def save_facts(facts: EmbeddingFacts | None, folder: Path) -> None:
    """Writes embeddings.json. None: the family trains on pixels."""
    (folder / _FACTS).write_text(json.dumps(asdict(facts) if facts else {"backbone": None}, indent=1) + "\n")


def save_none(family: str, parent: Path = EMBEDDINGS) -> None:
    """Notes that a family trains on pixels: DVC needs an output for each item of a matrix."""
    with folder_aside(parent / family) as folder:
        save_facts(None, folder)


def load_embeddings(family: str, parent: Path = EMBEDDINGS) -> Embeddings:
    """The features of a family. Raises PipelineError where there are none."""
    folder = parent / family
    facts = _load_facts(folder)
    if facts is None:
        raise PipelineError(f"{folder} has no features: expected them from `dvc repro embed@{family}`")
    return Embeddings(facts, folder)


def find_embeddings(family: str, parent: Path = EMBEDDINGS, *, source: str | None = None) -> Embeddings | None:
    """The features of a family; None for one that trains on pixels. source: the family whose features are kept under this
    name; None: itself. Raises PipelineError where `embed` has not run."""
    if FAMILIES[source or family].backbone is None or _notes_none(parent / family):
        return None
    return load_embeddings(family, parent)


def _notes_none(folder: Path) -> bool:
    """Whether `save_none` wrote it."""
    try:
        return json.loads((folder / _FACTS).read_text()) == {"backbone": None}
    except (OSError, ValueError):
        return False


def _load_facts(folder: Path) -> EmbeddingFacts | None:
    try:
        content = json.loads((folder / _FACTS).read_text())
        return EmbeddingFacts(**content) if content["backbone"] else None
    except (OSError, ValueError, KeyError, TypeError):  # missing, or not written by save_facts
        return None


def compute_key(settings: dict[str, Any], files: Iterable[Path]) -> str:
    """A digest of settings and of the contents of files, in this order: 64 hex digits."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def copy_twin(family: str, key: str, parent: Path = EMBEDDINGS) -> str | None:
    """Copies another family's features if they have the same key: mobilenet's for mobilenet_svm. Returns that family's name,
    or None. The folder's content is the same either way; this only saves time."""
    for twin in sorted(path for path in parent.glob("*") if path.name != family and path.suffix != ".partial"):
        facts = _load_facts(twin)
        if facts is not None and facts.key == key:
            with folder_aside(parent / family) as folder:
                for file in sorted(twin.iterdir()):
                    shutil.copyfile(file, folder / file.name)
            return twin.name
    return None
