"""Finds the images that are near copies of each other, in all of data/raw, without comparing all pairs.

Candidates are the nearest neighbours of each image and of its mirror image among the descriptions of `signatures`. They are
found by faiss (Douze et al. 2024) through an inverted file (Sivic and Zisserman 2003): each image is in the cell of its nearest
pivot, and is compared with the images of the few cells whose pivots are nearest. `alignment` verifies them.

Pivots are descriptions, not k-means centres, which find no more and take training; and faiss is given whole numbers so small
that float32 holds every sum exactly: candidates are the same on any number of cores and on any CPU.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.alignment import compare_pairs
from pipeline.data.signatures import STEPS, measure_signatures, mirror
from pipeline.runtime.paths import SPLITS
from pipeline.runtime.processes import map_in_order, num_cores
from pipeline.runtime.progress import progress_bar

if TYPE_CHECKING:
    import faiss

_NEIGHBOURS = 10  # candidates of an image, and of its mirror image
_LEAST_COSINE = 0.5  # of descriptions; copies that were cropped by a tenth have 0.5 and more
_PIVOTS = 6  # times the root of the number of images
_PROBES = 64  # cells that are searched for each image
_WIDTH = 16  # descriptions are padded to a multiple, or faiss reads them number by number, six times as slowly
_QUERIES = 1 << 16  # images whose neighbours are sought at a time
_PAIRS = 1024  # per message to a worker
_ROUNDING = 1e-3  # ten times what the similarity of a pair may differ by on another CPU, in float32


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

    descriptions: (n, values), length 1, or all 0: such an image has no candidate. They are rounded to steps of 1 / STEPS.
    """
    packed = _look_up(descriptions)
    candidates = np.empty((len(packed), 3), np.int32)
    candidates[:, 0] = packed >> 32
    candidates[:, 1] = (packed >> 1) & 0x7FFFFFFF
    candidates[:, 2] = packed & 1
    return candidates


def _look_up(descriptions: np.ndarray) -> np.ndarray:
    """Packed candidates, int64 (n,), sorted, each once: an eighth of the memory of sorting rows."""
    rows = np.flatnonzero(descriptions.any(axis=1))
    packed = np.zeros(0, np.int64)
    if len(rows) < 2:
        return packed
    index, rows = _build_index(descriptions, rows)
    with progress_bar(total=2 * len(rows), desc="near copies", unit=" lookups") as progress:
        for start in range(0, len(rows), _QUERIES):
            block = rows[start : start + _QUERIES]
            for is_mirrored, queries in enumerate((descriptions[block], mirror(descriptions[block]))):
                query, place = _search(index, _to_steps(queries), np.arange(start, start + len(block)))
                one, other = rows[query], rows[place]
                low, high = np.minimum(one, other), np.maximum(one, other)
                packed = _add(packed, (low << 32) | (high << 1) | is_mirrored)
                progress.update(len(block))
    return packed


def _add(packed: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Both, sorted, each value once. Not np.union1d, whose hash table takes a gigabyte for a million images."""
    joined = np.concatenate([packed, more])
    joined.sort()
    first = np.ones(len(joined), bool)
    first[1:] = joined[1:] != joined[:-1]
    return joined[first]


def _build_index(descriptions: np.ndarray, rows: np.ndarray) -> "tuple[faiss.IndexIVFScalarQuantizer, np.ndarray]":
    """The index of these rows of `descriptions`, around pivots that are evenly spread over them, and the rows in its order.

    They are in the order of their cells: images that are looked up one after the other need the same cells, from the cache.
    """
    import faiss  # a tenth of a second, and only where near copies are sought

    faiss.omp_set_num_threads(num_cores())
    count = min(len(rows), round(np.sqrt(len(rows)) * _PIVOTS))
    pivots = _to_steps(descriptions[rows[np.linspace(0, len(rows) - 1, count).astype(int)]])
    quantizer = faiss.IndexFlatL2(pivots.shape[1])
    quantizer.add(pivots)
    cells = [quantizer.search(_to_steps(descriptions[part]), 1)[1][:, 0] for part in _in_blocks(rows)]
    rows = rows[np.argsort(np.concatenate(cells), kind="stable")]
    fp16, l2 = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2
    index = faiss.IndexIVFScalarQuantizer(quantizer, quantizer.d, count, fp16, l2, False)
    index.train(pivots)  # learns nothing, as all pivots are there
    for part in _in_blocks(rows):
        index.add(_to_steps(descriptions[part]))
    index.nprobe = _PROBES
    return index, rows


def _in_blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + _QUERIES] for start in range(0, len(rows), _QUERIES))


def _to_steps(descriptions: np.ndarray) -> np.ndarray:
    """float32 (n, values and zeros): whole numbers up to STEPS, which faiss compares without rounding."""
    steps = np.zeros((len(descriptions), -(-descriptions.shape[1] // _WIDTH) * _WIDTH), np.float32)
    steps[:, : descriptions.shape[1]] = np.rint(descriptions.astype(np.float32) * STEPS)
    return steps


def _search(
    index: "faiss.IndexIVFScalarQuantizer", queries: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the queries, which are `own`, and of their neighbours, pair by pair; none is a neighbour of itself."""
    distances, found = index.search(queries, _NEIGHBOURS + 1)
    squared = 2 * (1 - _LEAST_COSINE) * STEPS**2
    near = (found >= 0) & (found != own[:, None]) & (distances <= squared)
    return np.repeat(own, near.sum(axis=1)), found[near]


def verify(candidates: np.ndarray, greys: Path, least: float, num_workers: int | None = None) -> NearCopies:
    """The candidates that are at least `least` similar, sorted, each pair once.

    greys: an .npy of uint8 (n, SIDE, SIDE). A pair that is near both ways has the larger similarity.
    """
    found = [np.zeros((0, 3))]
    with progress_bar(total=len(candidates), desc="near copies", unit=" pairs") as progress:
        tasks: Iterator[np.ndarray] = (candidates[i : i + _PAIRS] for i in range(0, len(candidates), _PAIRS))
        for number, similarity in enumerate(
            map_in_order(partial(_compare, greys=greys, least=least), tasks, num_workers)
        ):
            part = candidates[number * _PAIRS : (number + 1) * _PAIRS]
            near = similarity >= least
            found.append(np.column_stack([part[near, :2], similarity[near]]))
            progress.update(len(part))
    table = pd.DataFrame(np.concatenate(found), columns=["one", "other", "similarity"])
    best = table.groupby(["one", "other"], as_index=False)["similarity"].max()
    return NearCopies(best["one"].to_numpy(np.int64), best["other"].to_numpy(np.int64), best["similarity"].to_numpy())


def _compare(candidates: np.ndarray, greys: Path, least: float) -> np.ndarray:
    """float64 (n,), four digits, which are the same on every CPU for those that are near; runs in a worker."""
    content = np.load(greys, mmap_mode="r")
    ones, others = content[candidates[:, 0]], content[candidates[:, 1]]
    others = np.where(candidates[:, 2, None, None] == 1, others[:, :, ::-1], others)
    similarity = compare_pairs(ones, others).astype(np.float64)
    near = np.flatnonzero(similarity >= least - _ROUNDING)
    similarity[near] = compare_pairs(ones[near], others[near], np.float64)
    return similarity.round(4)
