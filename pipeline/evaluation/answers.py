"""The answers of predict: the most probable classes of each picture, as JSON lines, as CSV or as text."""

import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.data.image_files import Picture
from pipeline.evaluation.temperature import apply_temperature
from pipeline.models.contract import CONTRACT_FILE, Contract, describe_remedy
from pipeline.runtime.cells import guard_cell
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import in_chunks
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.unseen import show_unseen_in_name

logger = logging.getLogger(__name__)

_BATCH = 32  # pictures

Classify = Callable[[np.ndarray], np.ndarray]  # uint8 (n, size, size, 3) to probabilities (n, classes)
Ranking = list[tuple[str, float]]  # class and probability, the most probable first


class Writer(Protocol):
    """Writes each answer to stdout as soon as it is known."""

    def write(self, path: str, ranking: Ranking, reason: str) -> None:
        """ranking: empty if the picture can't be used; then reason says why."""


def load_classifier(artifact: Path, contract: Contract) -> Classify:
    """A saved model with calibrated probabilities. Imports TensorFlow, which must have been configured. Raises PipelineError
    where the model's inputs and outputs are not those that its contract promises."""
    from pipeline.models.artifacts import load_model
    from pipeline.models.inference import freeze

    model, size, classes = load_model(artifact), contract.image_size, len(contract.class_names)
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if shapes != ((None, size, size, 3), (None, classes)):
        raise PipelineError(
            f"{artifact} takes {shapes[0]} and gives {shapes[1]}: expected {size} px and {classes} classes, as its "
            f"{CONTRACT_FILE} says; {describe_remedy(artifact)}"
        )
    apply = freeze(model)
    return lambda pixels: apply_temperature(apply(pixels), contract.temperature)


def write_answers(
    pictures: Iterable[Picture], classify: Classify, class_names: list[str], top: int, writer: Writer, bad: list[str]
) -> None:
    """Classifies pictures in batches and writes an answer for each. Appends the paths of those that can't be used to `bad`."""
    with progress_bar(desc="predict", unit=" images", disable=None) as progress:
        for batch in in_chunks(pictures, _BATCH):
            for picture, ranking in zip(batch, rank_pictures(batch, classify, class_names, top), strict=True):
                writer.write(picture.path, ranking, picture.reason)
                if picture.reason:
                    bad.append(picture.path)
            progress.update(len(batch))


def rank_pictures(pictures: Sequence[Picture], classify: Classify, class_names: list[str], top: int) -> list[Ranking]:
    """One ranking per picture, empty for one without pixels."""
    usable = [picture.pixels for picture in pictures if picture.pixels is not None]
    rows = iter(classify(np.stack(usable)) if usable else ())
    return [[] if picture.pixels is None else rank_classes(next(rows), class_names, top) for picture in pictures]


def rank_classes(probabilities: np.ndarray, class_names: list[str], top: int) -> Ranking:
    """The `top` most probable classes. probabilities: float (classes,); six digits are kept."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(class_names[number], round(float(probabilities[number]), 6)) for number in order]


def make_writer(form: str, family: str, top: int) -> Writer:
    """form: json, csv or text. top: classes in each answer, at most as many as there are."""
    if form == "csv":
        return _CsvWriter(family, top)
    return _JsonWriter(family) if form == "json" else _TextWriter(family)


class _JsonWriter:
    """One object per line."""

    def __init__(self, family: str) -> None:
        self._family = family

    def write(self, path: str, ranking: Ranking, reason: str) -> None:
        answer: dict[str, Any] = {"path": path, "family": self._family}
        if reason:
            answer["error"] = reason
        else:
            answer["predictions"] = [{"label": label, "probability": p} for label, p in ranking]
        print(json.dumps(answer, ensure_ascii=False), flush=True)


class _CsvWriter:
    """A header, then one row per picture."""

    def __init__(self, family: str, top: int) -> None:
        self._family, self._top = family, top
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        columns = [name for n in range(1, top + 1) for name in (f"class_{n}", f"probability_{n}")]
        self._rows.writerow(["path", "family", *columns, "error"])

    def write(self, path: str, ranking: Ranking, reason: str) -> None:
        values = [value for pair in ranking for value in pair] or [""] * (2 * self._top)
        cells = [path, self._family, *values, reason]
        self._rows.writerow([guard_cell(cell) if isinstance(cell, str) else cell for cell in cells])
        sys.stdout.flush()


class _TextWriter:
    """One line per picture; those that can't be used are reported on stderr. No name moves the terminal's cursor."""

    def __init__(self, family: str) -> None:
        logger.info("%s:", family)

    def write(self, path: str, ranking: Ranking, reason: str) -> None:
        shown = show_unseen_in_name(path)
        if reason:
            logger.error("%s: %s", shown, show_unseen_in_name(reason))
        else:
            answer = ", ".join(f"{show_unseen_in_name(label)} {100 * p:.1f} %" for label, p in ranking)
            print(f"{shown}  {answer}", flush=True)
