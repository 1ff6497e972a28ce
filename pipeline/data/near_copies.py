"""Finds the images that are near copies of each other, in all of data/raw, without comparing all pairs.

Candidates are the nearest neighbours of each image and of its mirror image among the descriptions of `signatures`. They are
found through an inverted file (Sivic and Zisserman 2003; IVF in faiss): each image is in the cell of its nearest pivot, and is
compared with the images of the few cells whose pivots are nearest. `alignment` verifies them. By hand: hnswlib has
no wheel, so it needs a compiler, and faiss-cpu is 19 MB more for what fifty lines of NumPy do here.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.alignment import compare_pairs
from pipeline.data.signatures import measure_signatures, mirror
from pipeline.runtime.paths import SPLITS
from pipeline.runtime.processes import map_in_order
from pipeline.runtime.progress import progress_bar

_NEIGHBOURS = 10  # candidates of an image, and of its mirror image
_LEAST_COSINE = 0.5  # of descriptions; copies that were cropped by a tenth have 0.5 and more
_PROBES = 32  # cells that are searched for each image
_QUERIES = 1 << 16  # images whose neighbours are sought at a time
_CELL_BLOCK = 1 << 22  # cosines that are held at a time
_PAIRS = 1024  # per message to a worker


class NearCopies(NamedTuple):
    """Pairs of rows, int64 (n,) each, `one` below `other`, and how similar they are, 0 to 1, float32, four digits."""

    one: np.ndarray
    other: np.ndarray
    similarity: np.ndarray


def find_near_copies(images: pd.DataFrame, least: float, num_workers: int | None = None) -> NearCopies:
    """All pairs that are at least `least` similar; images with the same bytes count once, by their first row.

    images: image_id, shard, offset, size, one row per image, with index 0 to n - 1.
    """
    unique = images.drop_duplicates("image_id")
    rows = unique.index.to_numpy()
    SPLITS.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".near-", suffix=".partial", dir=SPLITS.parent) as folder:
        greys = Path(folder) / "greys.npy"
        descriptions = measure_signatures(unique, greys, num_workers)
        found = verify(find_candidates(descriptions), greys, least, num_workers)
    return NearCopies(rows[found.one], rows[found.other], found.similarity)


def find_candidates(descriptions: np.ndarray) -> np.ndarray:
    """int32 (n, 3), sorted: row, another row above it, and 1 if it is the mirror image that is near.

    descriptions: float32 (n, values), length 1, or all 0: such an image has no candidate.
    """
    rows = np.flatnonzero(descriptions.any(axis=1))
    descriptions = descriptions[rows]
    if len(rows) < 2:
        return np.zeros((0, 3), np.int32)
    index = _Index(descriptions)
    parts = []
    with progress_bar(total=2 * len(rows), desc="near copies", unit=" lookups") as progress:
        for start in range(0, len(rows), _QUERIES):
            block = slice(start, start + _QUERIES)
            for is_mirrored in (0, 1):
                queries = mirror(descriptions[block]) if is_mirrored else descriptions[block]
                query, neighbour = index.search(queries, np.arange(len(rows))[block])
                low, high = np.minimum(query, neighbour), np.maximum(query, neighbour)
                parts.append(_pack(rows[low], rows[high], is_mirrored))
                progress.update(len(queries))
            parts = [np.unique(np.concatenate(parts))]
    return _unpack(parts[0])


def _pack(low: np.ndarray, high: np.ndarray, is_mirrored: int) -> np.ndarray:
    """One int64 per candidate, an eighth of the memory of sorting rows."""
    return (low << 32) | (high << 1) | is_mirrored


def _unpack(packed: np.ndarray) -> np.ndarray:
    return np.stack([packed >> 32, (packed & 0xFFFFFFFF) >> 1, packed & 1], axis=1, dtype=np.int32, casting="unsafe")


class _Index:
    """Descriptions in cells around pivots, which are descriptions too, evenly spread over the rows."""

    def __init__(self, descriptions: np.ndarray) -> None:
        count = max(1, round(np.sqrt(len(descriptions)) * 2))
        self._descriptions = descriptions
        self._pivots = descriptions[np.linspace(0, len(descriptions) - 1, count).astype(int)]
        cells = self._find_cells(descriptions, 1)[:, 0]
        self._order = np.argsort(cells, kind="stable")
        self._bounds = np.searchsorted(cells[self._order], np.arange(count + 1))

    def _find_cells(self, queries: np.ndarray, probes: int) -> np.ndarray:
        """int64 (n, probes): the nearest pivots."""
        size = max(1, _CELL_BLOCK // len(self._pivots))
        return np.concatenate(
            [
                np.argpartition(-(queries[i : i + size] @ self._pivots.T), probes - 1, axis=1)[:, :probes]
                for i in range(0, len(queries), size)
            ]
        )

    def search(self, queries: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the queries and of their neighbours, pair by pair; an image is no neighbour of itself."""
        probes = min(_PROBES, len(self._pivots))
        cells = self._find_cells(queries, probes)
        cosines = np.full((len(queries), probes, _NEIGHBOURS), -1, np.float32)
        neighbours = np.zeros(cosines.shape, np.int64)
        order = np.argsort(cells, axis=None, kind="stable")
        bounds = np.searchsorted(cells.ravel()[order], np.arange(len(self._pivots) + 1))
        for cell in range(len(self._pivots)):
            members = self._order[self._bounds[cell] : self._bounds[cell + 1]]
            if len(members):
                places = order[bounds[cell] : bounds[cell + 1]]
                self._search_cell(queries, rows, members, places, (cosines, neighbours))
        flat, names = cosines.reshape(len(queries), -1), neighbours.reshape(len(queries), -1)
        best = np.argpartition(-flat, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
        near = np.take_along_axis(flat, best, axis=1) >= _LEAST_COSINE
        return np.repeat(rows, near.sum(axis=1)), np.take_along_axis(names, best, axis=1)[near]

    def _search_cell(
        self,
        queries: np.ndarray,
        rows: np.ndarray,
        members: np.ndarray,
        places: np.ndarray,
        found: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Fills in the nearest members of one cell. places: (query, probe), flat, that look into it."""
        cosines, neighbours = found
        kept = min(_NEIGHBOURS, len(members))
        size = max(1, _CELL_BLOCK // len(members))
        for start in range(0, len(places), size):
            query, probe = np.divmod(places[start : start + size], cosines.shape[1])
            values = queries[query] @ self._descriptions[members].T
            values[rows[query][:, None] == members[None, :]] = -1
            best = np.argpartition(-values, kept - 1, axis=1)[:, :kept]
            cosines[query, probe, :kept] = np.take_along_axis(values, best, axis=1)
            neighbours[query, probe, :kept] = members[best]


def verify(candidates: np.ndarray, greys: Path, least: float, num_workers: int | None = None) -> NearCopies:
    """The candidates that are at least `least` similar, sorted, each pair once.

    greys: an .npy of uint8 (n, SIDE, SIDE). A pair that is near both ways has the larger similarity.
    """
    found = [np.zeros((0, 3))]
    with progress_bar(total=len(candidates), desc="near copies", unit=" pairs") as progress:
        tasks: Iterator[np.ndarray] = (candidates[i : i + _PAIRS] for i in range(0, len(candidates), _PAIRS))
        for number, similarity in enumerate(map_in_order(partial(_compare, greys=greys), tasks, num_workers)):
            part = candidates[number * _PAIRS : (number + 1) * _PAIRS]
            near = similarity >= least
            found.append(np.column_stack([part[near, :2], similarity[near]]))
            progress.update(len(part))
    table = pd.DataFrame(np.concatenate(found), columns=["one", "other", "similarity"])
    best = table.groupby(["one", "other"], as_index=False)["similarity"].max()
    return NearCopies(best["one"].to_numpy(np.int64), best["other"].to_numpy(np.int64), best["similarity"].to_numpy())


def _compare(candidates: np.ndarray, greys: Path) -> np.ndarray:
    """float64 (n,), four digits; runs in a worker."""
    content = np.load(greys, mmap_mode="r")
    ones, others = content[candidates[:, 0]], content[candidates[:, 1]]
    others = np.where(candidates[:, 2, None, None] == 1, others[:, :, ::-1], others)
    return compare_pairs(ones, others).astype(np.float64).round(4)
