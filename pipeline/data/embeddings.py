"""data/embeddings/<family>: a backbone's pooled features of every image, and of augmented views of the training images.

One .npy file per split, view and shard, with rows in the order of the TFRecords; memory-mapped, so that the memory needed does
not depend on the number of images. View 0 is the image itself.
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
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside, write_aside
from pipeline.runtime.paths import EMBEDDINGS

_FACTS = "embeddings.json"
_SHARD_ROWS = 16_384  # 84 MB of 1,280 float32 features


@dataclass(frozen=True)
class EmbeddingFacts:
    """key: digest of all that the features depend on. num_images: by split. views: augmented, of each training image. features:
    blocks of the backbone whose pooled outputs come before the last ones."""

    backbone: str
    key: str
    weights_sha256: str
    num_features: int
    dtype: str
    views: int
    num_images: dict[str, int]
    features: list[int] = field(default_factory=list)


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
        """All rows, (n, features), in the stored type."""
        return np.concatenate(self._arrays)

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
        files = [file for view in views or (0,) for file in sorted(self.folder.glob(f"{split}-view{view:03d}-*.npy"))]
        return Rows([np.load(file, mmap_mode="r") for file in files])


class EmbeddingWriter:
    """Writes one folder of embeddings, one shard at a time. Shards that a killed run has finished stay."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder, self._dtype = folder, dtype

    def count_rows(self, split: str, view: int) -> int:
        """How many rows of a split and view are there already, in finished shards."""
        return sum(len(np.load(file, mmap_mode="r")) for file in self._list_shards(split, view))

    def write(self, split: str, view: int, batches: Iterable[tuple[np.ndarray | None, np.ndarray]]) -> int:
        """Writes the features of a split and, with view 0, its labels; returns the number of images.

        batches: one or more, (features, float (n, features); labels, int64 (n,)) each. features: None where all of these rows
        are there already.
        """
        waiting: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        shard, there, total = len(self._list_shards(split, view)), self.count_rows(split, view), 0
        for features, numbers in batches:
            if features is not None:
                waiting.append(features.astype(self._dtype)[max(0, there - total) :])
            labels.append(numbers)
            total += len(numbers)
            while sum(map(len, waiting)) >= _SHARD_ROWS:
                rows = np.concatenate(waiting)
                waiting = [rows[_SHARD_ROWS:]]
                shard = self._save(split, view, shard, rows[:_SHARD_ROWS])
        rows = np.concatenate(waiting) if waiting else np.empty(0)
        if len(rows) or not shard:
            self._save(split, view, shard, rows)
        if view == 0:
            _save_array(self._folder / f"{split}-labels.npy", np.concatenate(labels))
        return total

    def _save(self, split: str, view: int, shard: int, rows: np.ndarray) -> int:
        _save_array(self._folder / f"{split}-view{view:03d}-{shard:05d}.npy", rows)
        return shard + 1

    def _list_shards(self, split: str, view: int) -> list[Path]:
        return sorted(self._folder.glob(f"{split}-view{view:03d}-*.npy"))


def _save_array(file: Path, array: np.ndarray) -> None:
    """The bytes of np.save, which says of a full disk only how many numbers it asked for."""
    with write_aside(file) as partial, partial.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(np.ascontiguousarray(array).data)


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


def find_embeddings(family: str, parent: Path = EMBEDDINGS) -> Embeddings | None:
    """The features of a family; None for one that trains on pixels. Raises PipelineError where `embed` has not run."""
    if FAMILIES[family].backbone is None or _notes_none(parent / family):
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
