"""Images that are nearly the same: found by their coarse outlines, whatever their size, compression or exposure. Pure."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.data.examination import NEAR_COLUMNS
from pipeline.data.splits import SPLIT_NAMES

SIDE = 16  # pixels, each side, to which an image is reduced
NUM_FEATURES = 2 * SIDE * (SIDE - 1)
# The similarity from which two images are taken for copies; below it they are only similar. Among 8,000 × 8,000 different drawn
# scenes the most similar pair has 0.856 (two empty seas), and of planted copies 94.7 % or more have 0.9: see docs/data.md.
NEAR_COPY = 0.9
_BLOCK = 4096  # rows compared at a time


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

    ours, others: float16 (n, NUM_FEATURES) of `describe_outline`. The similarity is their cosine, -1 to 1, four digits. All
    pairs are compared, 4,096 rows at a time: 10,000 against 40,000 images take about two seconds.
    """
    for start in range(0, len(ours), _BLOCK):
        block = _scale(ours[start : start + _BLOCK])
        best, partner = np.full(len(block), -2.0, np.float32), np.zeros(len(block), np.int64)
        for begin in range(0, len(others), _BLOCK):
            cosines = block @ _scale(others[begin : begin + _BLOCK]).T
            nearest = cosines.argmax(axis=1)
            values = cosines[np.arange(len(block)), nearest]
            # Four digits, so that the order of additions in a matrix product does not decide between equals.
            values = values.round(4)
            better = values > best
            best[better], partner[better] = values[better], nearest[better] + begin
        for row in np.flatnonzero(best >= least):
            yield int(start + row), int(partner[row]), round(float(best[row]), 4)


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
        for row, other, similarity in find_similar(outlines[where[split]], outlines[where["train"]], least=least):
            a, b = where[split][row], where["train"][other]
            yield names[a], split, labels[a], names[b], labels[b], similarity
