"""Images that are nearly the same: found by their coarse outlines, whatever their size, compression or exposure. Pure."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import threadpool_limits

from pipeline.data.examination import NEAR_COLUMNS
from pipeline.data.splits import SPLIT_NAMES
from pipeline.runtime.processes import num_cores

SIDE = 16  # pixels, each side, to which an image is reduced
NUM_FEATURES = 2 * SIDE * (SIDE - 1)
# The similarity from which two images are taken for copies; below it they are only similar. Among 8,000 × 8,000 different drawn
# scenes the most similar pair has 0.856 (two empty seas), and of planted copies 94.7 % or more have 0.9: see docs/data.md.
NEAR_COPY = 0.9
_BLOCK, _ROWS = 4096, 256  # of others and of ours that are compared at a time: what fits a core's cache
_SAMPLE = 8192  # outlines whose principal components are taken
_ENERGY = 0.65  # of the outlines' squared length that the directions of the bound hold: fewer bound too little, more cost more
_MANY = 0.02  # of the pairs that a bound leaves, above which all are compared


def describe_outline(pixels: np.ndarray) -> np.ndarray:
    """float16 (NUM_FEATURES,), length 1: the differences between neighbouring pixels of the image in grey at 16 × 16; all 0
    for an image of one colour. A change of brightness or contrast does not change it.

    pixels: uint8 (h, w, 3). The differences keep their values, of which a difference hash keeps only the signs: in small
    images most signs are noise, and different skies collide.
    """
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32)
    steps = np.concatenate([np.diff(values, axis=1).ravel(), np.diff(values, axis=0).ravel()])
    length = float(np.sqrt((steps * steps).sum()))
    return (steps / length if length > 0 else steps).astype(np.float16)


def find_similar(ours: np.ndarray, others: np.ndarray, *, least: float) -> Iterator[tuple[int, int, float]]:
    """(row of ours, row of others, similarity) with the most similar row of `others`, where that is at least `least`.

    ours, others: float16 (n, NUM_FEATURES) of `describe_outline`, also in a mapped file. The similarity is their cosine, -1 to
    1, four digits; of equals the first row. Nothing is missed: a pair is left out only where a bound of its cosine is too low,
    computed in the few directions that hold most of the outlines' lengths (Cauchy-Schwarz: what two vectors have outside these
    adds the product of its lengths at most). Time grows with the number of pairs: see docs/benchmarks.md.
    """
    axes = _find_axes(others)
    bounding = np.concatenate(
        [_reduce(others[i : i + _BLOCK], axes) for i in range(0, len(others), _BLOCK)] or [axes[:0]]
    )
    starts = range(0, len(ours), _ROWS)
    # One thread of BLAS for each of ours: comparisons would leave the other cores idle.
    with threadpool_limits(1), ThreadPoolExecutor(num_cores()) as pool:
        search = partial(_search, others=others, axes=axes, bounding=bounding, least=least)
        for start, (best, partner) in zip(starts, pool.map(search, (ours[i : i + _ROWS] for i in starts)), strict=True):
            for row in np.flatnonzero(best >= least):
                yield start + int(row), int(partner[row]), float(best[row])


def _find_axes(outlines: np.ndarray) -> np.ndarray:
    """float32 (NUM_FEATURES, k), orthonormal: the directions that hold most of the outlines' lengths, by principal components.
    Which ones they are decides how much is left out, and nothing else."""
    rows = _scale(outlines[:: max(1, len(outlines) // _SAMPLE)][:_SAMPLE]).astype(np.float64)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    shares = np.cumsum(values[::-1]) / max(values.sum(), 1e-12)
    count = -(-(int(np.searchsorted(shares, _ENERGY)) + 1) // 16) * 16
    return vectors[:, ::-1][:, :count].astype(np.float32)


def _reduce(outlines: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """float32 (n, k + 1), of which products bound cosines: coordinates on the axes, and the length of what is left."""
    rows = _scale(outlines)
    inside = rows @ axes
    left = np.square(rows).sum(axis=1) - np.square(inside).sum(axis=1)
    return np.column_stack([inside, np.sqrt(np.maximum(left, 0))])


def _search(
    ours: np.ndarray, others: np.ndarray, axes: np.ndarray, bounding: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """float64 (n,) and int64 (n,): the similarity of the most similar of others, and its row; less than `least` where none is
    so similar. bounding: others, reduced."""
    best, partner = np.full(len(ours), -2.0), np.zeros(len(ours), np.int64)
    reduced, room = _reduce(ours, axes), np.empty((len(ours), _BLOCK), np.float32)
    for begin in range(0, len(bounding), _BLOCK):
        part = bounding[begin : begin + _BLOCK]
        bounds = np.matmul(reduced, part.T, out=room if len(part) == _BLOCK else None)
        # A step of the rounding above the best so far, less half a step and what float32 rounds.
        limits = (np.maximum(least, best + 1e-4) - 1e-4).astype(np.float32)
        left = np.flatnonzero(bounds.max(axis=1) >= limits)
        if not len(left):
            continue
        rows, columns = np.nonzero(bounds[left] >= limits[left, None])
        if len(rows) > _MANY * bounds.size:
            nearest, values = _compare_all(ours, others[begin : begin + _BLOCK])
        else:
            nearest, values = _compare_some(ours, others[begin : begin + _BLOCK], left[rows], columns)
        better = values > best
        best[better], partner[better] = values[better], nearest[better] + begin
    return best, partner


def _compare_all(ours: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of ours, the most similar of others, and the similarity."""
    cosines = (_scale(ours) @ _scale(others).T).round(4)
    nearest = cosines.argmax(axis=1)
    return nearest, cosines[np.arange(len(ours)), nearest].astype(np.float64).round(4)


def _compare_some(
    ours: np.ndarray, others: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same of some pairs, by rows and columns, ascending; -2 for one of ours without any."""
    cosines = np.einsum("nf,nf->n", _scale(ours[rows]), _scale(others[columns]), dtype=np.float64).round(4)
    values, nearest = np.full(len(ours), -2.0), np.zeros(len(ours), np.int64)
    order = np.lexsort((columns, -cosines, rows))
    first = order[np.unique(rows[order], return_index=True)[1]]
    values[rows[first]], nearest[rows[first]] = cosines[first], columns[first]
    return nearest, values


def _scale(outlines: np.ndarray) -> np.ndarray:
    """float32, rows scaled to length 1 again, which float16 has rounded: an image has similarity 1 to itself. 0 stays 0."""
    rows = outlines.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def find_near_duplicates(images: pd.DataFrame, outlines: np.ndarray, least: float) -> pd.DataFrame:
    """NEAR_COLUMNS: each image of test or val whose most similar image of train is at least `least` similar.

    images: name, split, label. outlines: float16 (n, NUM_FEATURES), row by row as images. The most similar come first.
    """
    rows = list(_find_pairs(images, outlines, least))
    return pd.DataFrame(rows, columns=NEAR_COLUMNS).sort_values(
        ["similarity", "name"], ascending=[False, True], ignore_index=True
    )


def _find_pairs(
    images: pd.DataFrame, outlines: np.ndarray, least: float
) -> Iterator[tuple[str, str, str, str, str, float]]:
    where = {split: np.flatnonzero((images["split"] == split).to_numpy()) for split in SPLIT_NAMES}
    names, labels = images["name"].to_numpy(), images["label"].to_numpy()
    for split in ("test", "val"):
        ours, others = (_take(outlines, where[name]) for name in (split, "train"))
        for row, other, similarity in find_similar(ours, others, least=least):
            a, b = where[split][row], where["train"][other]
            yield names[a], split, labels[a], names[b], labels[b], similarity


def _take(outlines: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows, ascending; without a copy where they follow each other, as those of a split do."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return outlines[rows[0] : rows[-1] + 1]
    return outlines[rows]
