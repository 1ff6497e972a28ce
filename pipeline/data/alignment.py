"""Lays pairs of small grey pictures over each other, whichever part of the other each shows, and compares their edges. Pure.

Both are compared as they lie best: shifted and stretched along each axis by up to 30 %. The alignment is Gauss-Newton on the
mean gradient of both (Benhimane and Malis 2004, after Lucas and Kanade 1981), at 8 × 8 pixels and then at 16 × 16.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pipeline.data.signatures import SIDE

FINE_SLACK = 0.07  # how much less similar two copies are at 32 × 32: compression and resizing touch the finest edges
_STEPS = 4  # of Gauss-Newton at each size
_FINE_STEPS = 2
_LIMIT = 0.3  # fraction of a side
_HOPELESS = 0.5  # a pair that is less similar at 16 × 16, aligned at 8 × 8 only, is not looked at further
_UNLIKELY = 0.7  # nor one that is less similar when it is aligned at 16 × 16, nor the other way round
_REACH = 1  # pixels around a pixel that are compared with it
_EVIDENCE = 0.4  # of the pixels: where fewer have edges, as in an empty sea, what differs counts for more
_NOISE = 2.0  # grey levels of 255 between neighbouring pixels: noise, which does not count as a difference


def _build_reduction(size: int, blur: float) -> np.ndarray:
    """float32 (size, SIDE): a Gaussian blur of `blur` pixels, and then the mean of SIDE / size pixels."""
    blurred = gaussian_filter1d(np.eye(SIDE), blur, axis=0)
    return blurred.reshape(size, SIDE // size, SIDE).mean(axis=1).astype(np.float32)


def _build_window(size: int) -> np.ndarray:
    """float32 (size - 1, size - 1): multiplied from either side, it sums what lies around each pixel."""
    places = np.arange(size - 1)
    return (np.abs(places[:, None] - places) <= _REACH).astype(np.float32)


_WINDOWS = {size: _build_window(size) for size in (16, 32)}
_REDUCTIONS = {8: _build_reduction(8, 2), 16: _build_reduction(16, 1), 32: _build_reduction(32, 0.7)}


def compare_pairs(ones: np.ndarray, others: np.ndarray, precision: type[np.floating] = np.float32) -> np.ndarray:
    """(n,) of `precision`: how similar each pair is, -1 to 1, the second laid over the first or the first over the second.

    ones, others: uint8 (n, SIDE, SIDE). precision: float32, which differs by up to 1e-4 on another CPU, or float64, which is
    half as fast.
    """
    similarity = compare_aligned(ones, others, precision)
    promising = np.flatnonzero(similarity > _UNLIKELY)
    reverse = compare_aligned(others[promising], ones[promising], precision)
    similarity[promising] = np.maximum(similarity[promising], reverse)
    return similarity


def compare_aligned(
    templates: np.ndarray, pictures: np.ndarray, precision: type[np.floating] = np.float32
) -> np.ndarray:
    """(n,) of `precision`: the similarity of each template and of the picture that is laid over it.

    It is that of their edges at 16 × 16 pixels; at 32 × 32 it may be FINE_SLACK less. A pair that is unlikely to be near at
    16 × 16 has its similarity there.
    """
    start = np.zeros((len(templates), 4), precision)
    place = _align(_reduce(templates, 8, precision), _reduce(pictures, 8, precision), start, _STEPS)
    one, other = _reduce(templates, 16, precision), _reduce(pictures, 16, precision)
    similarity = _compare_edges(one, other, place)
    rest = np.flatnonzero(similarity > _HOPELESS)
    place = _align(one[rest], other[rest], place[rest], _STEPS)
    similarity[rest] = _compare_edges(one[rest], other[rest], place)
    near = similarity[rest] > _UNLIKELY
    rest, place = rest[near], place[near]
    one, other = _reduce(templates[rest], 32, precision), _reduce(pictures[rest], 32, precision)
    fine = _compare_edges(one, other, _align(one, other, place, _FINE_STEPS))
    similarity[rest] = np.minimum(similarity[rest], fine + FINE_SLACK)
    return similarity


def _reduce(greys: np.ndarray, size: int, precision: type[np.floating]) -> np.ndarray:
    """(n, size, size) of `precision`, as is all that is computed from it."""
    return _REDUCTIONS[size] @ greys.astype(precision) @ _REDUCTIONS[size].T


def _align(templates: np.ndarray, pictures: np.ndarray, place: np.ndarray, steps: int) -> np.ndarray:
    """(n, 4): stretch and shift along y, then along x, with which the picture shows what the template shows.

    templates, pictures: (n, size, size). place: where to begin. Shifts are fractions of a side.
    """
    templates = _standardize(templates)
    count, pixels = len(templates), templates.shape[1] ** 2  # written out, as there may be no pair at all
    for _ in range(steps):
        moved = _standardize(_move(pictures, place))
        within = _find_overlap(place, templates.shape[1])
        slopes = _build_slopes((templates + moved) / 2).reshape(count, 4, pixels)
        masked = slopes * within.reshape(count, 1, pixels)
        system = masked @ slopes.transpose(0, 2, 1)
        system += (0.01 / 4 * np.trace(system, axis1=1, axis2=2) + 1e-6)[:, None, None] * np.eye(4, dtype=np.float32)
        error = (templates - moved).reshape(count, pixels, 1)
        place = np.clip(place + np.linalg.solve(system, masked @ error)[..., 0], -_LIMIT, _LIMIT)
    return place


def _standardize(pictures: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1."""
    values = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    return values / np.maximum(np.sqrt((values * values).mean(axis=(1, 2), keepdims=True)), 1e-6)


def _build_slopes(pictures: np.ndarray) -> np.ndarray:
    """(n, 4, size, size): how each pixel changes with each number of a place."""
    size = pictures.shape[1]
    from_centre = np.arange(size, dtype=np.float32) - (size - 1) / 2
    down, right = np.gradient(pictures, axis=(1, 2))
    return np.stack([down * from_centre[:, None], down * size, right * from_centre, right * size], axis=1)


def _find_positions(place: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, size) each: from which row and column of the picture each one comes."""
    middle = (size - 1) / 2
    from_centre = np.arange(size, dtype=np.float32) - middle
    return tuple((1 + place[:, i : i + 1]) * from_centre + place[:, i + 1 : i + 2] * size + middle for i in (0, 2))


def _find_overlap(place: np.ndarray, size: int) -> np.ndarray:
    """(n, size, size): 1 where the moved picture has pixels, 0 beyond its edge."""
    rows, columns = (((u >= -0.5) & (u <= size - 0.5)).astype(np.float32) for u in _find_positions(place, size))
    return rows[:, :, None] * columns[:, None, :]


def _move(pictures: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Linear interpolation; beyond the edge its pixels are repeated."""
    size = pictures.shape[1]
    grid = np.arange(size, dtype=np.float32)
    down, across = (
        np.maximum(1 - np.abs(np.clip(u, 0, size - 1)[:, :, None] - grid), 0) for u in _find_positions(place, size)
    )
    return down @ pictures @ across.transpose(0, 2, 1)


def _compare_edges(templates: np.ndarray, pictures: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(n,): the cosine of the differences between neighbouring pixels, around each pixel, as the mean over those that
    have edges in either picture.

    The mean counts places, not strengths: a frame, a horizon or a silhouette does not outweigh what it surrounds, and flat
    skies, which have noise alone, do not agree with each other.
    """
    within = _find_overlap(place, templates.shape[1])[:, 1:, 1:]
    one, other = _find_edges(templates), _find_edges(_move(pictures, place))
    window = _WINDOWS[templates.shape[1]]
    product, ours, theirs = (
        window @ ((a * b).sum(axis=1) * within) @ window for a, b in ((one, other), (one, one), (other, other))
    )
    noise = _NOISE**2 * (window @ within @ window)
    cosines = product / (np.sqrt(ours * theirs) + noise / 10 + 1e-6)
    energy = (ours + theirs) / 2
    weights = within * energy / (energy + noise + 1e-6)
    total = weights.sum(axis=(1, 2))
    mean = (cosines * weights).sum(axis=(1, 2)) / np.maximum(total, 1e-6)
    evidence = np.clip(total / np.maximum(within.sum(axis=(1, 2)), 1) / _EVIDENCE, 1e-3, 1)
    return 1 - (1 - mean) / evidence


def _find_edges(pictures: np.ndarray) -> np.ndarray:
    """(n, 2, size - 1, size - 1)."""
    down, right = np.diff(pictures, axis=1)[:, :, 1:], np.diff(pictures, axis=2)[:, 1:, :]
    return np.stack([down, right], axis=1)
