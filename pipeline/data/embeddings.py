"""data/embeddings/<family>: a backbone's pooled features of every image, and of changed views of the training images.

One .npy file for each split, view and shard, rows in the order of the TFRecords; read through memory maps, so that the
memory does not depend on the number of images. View 0 is the image itself.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import EMBEDDINGS

_FACTS = "embeddings.json"
_SHARD_ROWS = 16_384  # 84 MB of 1,280 float32 features


@dataclass(frozen=True)
class EmbeddingFacts:
    """key: what the features were made of. num_images: of each split. views: of a training image, besides itself."""

    backbone: str
    key: str
    weights_sha256: str
    num_features: int
    dtype: str
    views: int
    num_images: dict[str, int]


class Rows:
    """Rows of features that lie in several files, one after the other."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        """arrays: (n, features) each, in order."""
        self._arrays = list(arrays)
        self._starts = np.concatenate([[0], np.cumsum([len(array) for array in self._arrays])])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def num_features(self) -> int:
        """Columns."""
        return self._arrays[0].shape[1]

    @property
    def num_bytes(self) -> int:
        """Of all rows, as they are stored."""
        return sum(array.nbytes for array in self._arrays)

    def load(self) -> np.ndarray:
        """All rows, (n, features), in the type in which they are stored."""
        return np.concatenate(self._arrays)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """float32 (len(rows), features). rows: int, in any order."""
        chosen = np.empty((len(rows), self.num_features), np.float32)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shards):
            here = shards == shard
            chosen[here] = self._arrays[shard][rows[here] - self._starts[shard]]
        return chosen


@dataclass(frozen=True)
class Embeddings:
    """What an embed stage has made for one family."""

    facts: EmbeddingFacts
    folder: Path

    def labels(self, split: str) -> np.ndarray:
        """int64 (n,), numbers in class_names."""
        return np.load(self.folder / f"{split}-labels.npy")

    def features(self, split: str, *views: int) -> Rows:
        """The features of a split, and of its changed copies, 1, 2, …, where told, one view after the other."""
        files = [file for view in views or (0,) for file in sorted(self.folder.glob(f"{split}-view{view:03d}-*.npy"))]
        return Rows([np.load(file, mmap_mode="r") for file in files])


class EmbeddingWriter:
    """Writes one folder of embeddings, a shard at a time."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder, self._dtype = folder, dtype

    def write(self, split: str, view: int, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
        """Writes the features of a split, (n, features), and, with view 0, its labels, (n,); returns how many images.

        batches: one or more.
        """
        waiting: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        shard = total = 0
        for features, numbers in batches:
            waiting.append(features.astype(self._dtype))
            labels.append(numbers)
            total += len(numbers)
            while sum(map(len, waiting)) >= _SHARD_ROWS:
                rows = np.concatenate(waiting)
                waiting = [rows[_SHARD_ROWS:]]
                shard = self._save(split, view, shard, rows[:_SHARD_ROWS])
        rows = np.concatenate(waiting)
        if len(rows) or not shard:
            self._save(split, view, shard, rows)
        if view == 0:
            np.save(self._folder / f"{split}-labels.npy", np.concatenate(labels))
        return total

    def _save(self, split: str, view: int, shard: int, rows: np.ndarray) -> int:
        np.save(self._folder / f"{split}-view{view:03d}-{shard:05d}.npy", rows)
        return shard + 1


def save_facts(facts: EmbeddingFacts | None, folder: Path) -> None:
    """Writes embeddings.json; None: this family trains on pixels."""
    (folder / _FACTS).write_text(json.dumps(asdict(facts) if facts else {"backbone": None}, indent=1) + "\n")


def save_none(family: str, parent: Path = EMBEDDINGS) -> None:
    """Says that a family trains on pixels: DVC needs an output for each item of a matrix."""
    with folder_aside(parent / family) as folder:
        save_facts(None, folder)


def load_embeddings(family: str, parent: Path = EMBEDDINGS) -> Embeddings:
    """Raises PipelineError where there are none."""
    folder = parent / family
    facts = _load_facts(folder)
    if facts is None:
        raise PipelineError(f"{folder} has no features: expected them from `dvc repro embed@{family}`")
    return Embeddings(facts, folder)


def _load_facts(folder: Path) -> EmbeddingFacts | None:
    try:
        content = json.loads((folder / _FACTS).read_text())
        return EmbeddingFacts(**content) if content["backbone"] else None
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what save_facts writes
        return None


def compute_key(settings: dict[str, Any], files: Iterable[Path]) -> str:
    """A digest of all that decides the features: the settings, and the content of the files, in their order."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def copy_twin(family: str, key: str, parent: Path = EMBEDDINGS) -> str | None:
    """Takes over another family's features where they were made of the very same: mobilenet's, for mobilenet_svm. Returns
    that family's name, or None. What is in the folder afterwards does not depend on it: only the time does."""
    for twin in sorted(path for path in parent.glob("*") if path.name != family and path.suffix != ".partial"):
        facts = _load_facts(twin)
        if facts is not None and facts.key == key:
            with folder_aside(parent / family) as folder:
                for file in sorted(twin.iterdir()):
                    shutil.copyfile(file, folder / file.name)
            return twin.name
    return None
