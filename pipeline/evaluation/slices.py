"""Weak slices: groups of test images in which a family is less accurate than the classes in them explain. Pure.

A group of dark pictures may be misclassified because they are dark, or because they show the class that is hard in any light.
So hits are compared within classes: given how many images and mistakes each class has, and how many of its images are in the
group, the mistakes in the group follow a sum of hypergeometric distributions, one per class, if the group does not matter. Its
upper tail is the exact p-value (Birch 1964, for stratified 2 × 2 tables), corrected for the number of groups by Holm's method.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from pipeline.evaluation.intervals import compute_accuracy_interval, correct_holm
from pipeline.training.scores import DIGITS

LEAST = 10  # images in a group; with fewer, nothing short of disaster would show
ALIKE = "alike"  # column: the group of look-alikes, see `pipeline.evaluation.look_alikes`
_MOST_FOLDERS = 20
_SIGNIFICANT = 0.05
_PORTRAIT, _LANDSCAPE = 0.9, 1.1  # width / height
COLUMNS = ["property", "group", "images", "accuracy", "low", "high", "expected", "p", "p_corrected", "is_weak"]


class Group(NamedTuple):
    """inside: bool, one per test image."""

    property: str
    name: str
    inside: np.ndarray


def measure_slices(
    predictions: pd.DataFrame, images: pd.DataFrame, look_alikes: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, list[Group]]:
    """COLUMNS, the smallest p first, and the groups in the same order.

    accuracy: in the group, with its 95 % interval. expected: what it would be if each class were classified as accurately in
    the group as everywhere. is_weak: p_corrected below 0.05. predictions: of test, see `make_prediction_table`. images: name,
    brightness, contrast, width, height and mode of at least these, see `pipeline.data.examination`. look_alikes: name and
    `ALIKE` of these; None: not known.
    """
    known = images if look_alikes is None else images.merge(look_alikes, how="left", on="name")
    facts = known.set_index("name").reindex(predictions["name"]).reset_index()
    hits = (predictions["label"] == predictions["predicted"]).to_numpy()
    classes, labels = np.unique(predictions["label"].to_numpy(str), return_inverse=True)
    groups = [group for group in make_groups(facts, predictions["label"]) if LEAST <= group.inside.sum() < len(hits)]
    if not groups:
        return pd.DataFrame(columns=COLUMNS), []
    shares = np.bincount(labels, hits) / np.bincount(labels)
    rows = []
    for group in groups:
        inside, right = group.inside, int(hits[group.inside].sum())
        count = int(inside.sum())
        expected = float((np.bincount(labels[inside], minlength=len(classes)) * shares).sum() / count)
        interval = compute_accuracy_interval(right, count)
        rows.append([*group[:2], count, right / count, *interval, expected, compute_slice_p(hits, inside, labels)])
    table = pd.DataFrame(rows, columns=COLUMNS[:-2])
    table["p_corrected"] = correct_holm(table["p"].to_numpy(float))
    table["is_weak"] = table["p_corrected"] < _SIGNIFICANT
    order = np.argsort(table["p"].to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    rounded = ["accuracy", "expected", "p", "p_corrected"]
    return table.assign(**{name: table[name].round(DIGITS) for name in rounded}), [groups[row] for row in order]


def compute_slice_p(hits: np.ndarray, inside: np.ndarray, labels: np.ndarray) -> float:
    """The probability of as many mistakes in a group, or more, if within each class mistakes do not depend on the group.

    hits, inside: bool (n,). labels: int (n,), from 0.
    """
    chances, observed = np.ones(1), int((~hits & inside).sum())
    for label in range(labels.max() + 1):
        of_class = labels == label
        mistakes, members = int((of_class & ~hits).sum()), int((of_class & inside).sum())
        if mistakes and members:
            counts = np.arange(min(mistakes, members) + 1)
            chances = np.convolve(chances, hypergeom.pmf(counts, int(of_class.sum()), mistakes, members))
    return float(min(1.0, chances[observed:].sum()))


def make_groups(facts: pd.DataFrame, labels: pd.Series) -> Iterator[Group]:
    """The outer quarters of brightness, contrast and size, and groups of one shape, colour mode or folder, and of look-alikes.
    facts: name, brightness, contrast, width, height, mode, and `ALIKE` or not, one row per image; labels: their classes."""
    size = np.sqrt(facts["width"].to_numpy(float) * facts["height"].to_numpy(float))
    for name, values, (least, most), unit in (
        ("light", facts["brightness"], ("darkest", "brightest"), ""),
        ("contrast", facts["contrast"], ("least contrast", "most contrast"), ""),
        ("size", pd.Series(size), ("smallest", "largest"), " px"),
    ):
        yield from _cut_quarters(name, values.to_numpy(float), least, most, unit)
    ratio = facts["width"].to_numpy(float) / np.maximum(facts["height"].to_numpy(float), 1)
    yield Group("shape", "portrait", ratio < _PORTRAIT)
    yield Group("shape", "square", (ratio >= _PORTRAIT) & (ratio <= _LANDSCAPE))
    yield Group("shape", "landscape", ratio > _LANDSCAPE)
    yield from _tell_apart("colour mode", facts["mode"])
    folders = [_cut_class(name, label) for name, label in zip(facts["name"], labels, strict=True)]
    yield from _tell_apart("folder", pd.Series(folders))
    if ALIKE in facts:
        looks = [f"like {name}" if isinstance(name, str) and name else "" for name in facts[ALIKE]]
        yield from _tell_apart("look-alikes", pd.Series(looks))


def _cut_quarters(name: str, values: np.ndarray, least: str, most: str, unit: str) -> Iterator[Group]:
    """None where more than half of the values are the same: a quarter says nothing then."""
    low, high = np.nanquantile(values, [0.25, 0.75]) if np.isfinite(values).any() else (0.0, 0.0)
    if low < high:
        yield Group(name, f"{least}: {low:.0f}{unit} or less", values <= low)
        yield Group(name, f"{most}: {high:.0f}{unit} or more", values >= high)


def _tell_apart(name: str, values: pd.Series) -> Iterator[Group]:
    """One group per value, the most frequent first."""
    counts = values[values != ""].value_counts()
    for value in sorted(counts.index, key=lambda value: (-counts[value], value))[:_MOST_FOLDERS]:
        yield Group(name, str(value), (values == value).to_numpy())


def _cut_class(name: str, label: str) -> str:
    """The folders of an image, without those named after its class: where it came from."""
    return "/".join(part for part in name.split("/")[:-1] if part != label)
