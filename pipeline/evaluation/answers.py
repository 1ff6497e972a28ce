"""The answers of predict: the most probable classes of each picture, as JSON lines, as CSV or as text."""

import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipeline.data.image_files import Picture
from pipeline.evaluation.conformal import SetRule, make_sets
from pipeline.evaluation.decisions import decide
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


class Answer(NamedTuple):
    """ranking: empty if the picture can't be used; then reason says why. members: classes in its prediction set, the most
    probable first. decision: the class that costs least. Both None where not asked for."""

    path: str
    ranking: Ranking
    reason: str = ""
    members: list[str] | None = None
    decision: str | None = None


@dataclass(frozen=True)
class Extras:
    """What answers have besides a ranking. rule: of prediction sets. costs: of errors, see `make_cost_matrix`. None: no such
    thing."""

    rule: SetRule | None = None
    costs: np.ndarray | None = None


NO_EXTRAS = Extras()


class Writer(Protocol):
    """Writes each answer to stdout as soon as it is known."""

    def write(self, answer: Answer) -> None:
        """One picture's."""


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
    pictures: Iterable[Picture],
    classify: Classify,
    class_names: list[str],
    top: int,
    writer: Writer,
    bad: list[str],
    extras: Extras = NO_EXTRAS,
) -> None:
    """Classifies pictures in batches and writes an answer for each. Appends the paths of those that can't be used to `bad`."""
    with progress_bar(desc="predict", unit=" images", disable=None) as progress:
        for batch in in_chunks(pictures, _BATCH):
            for answer in answer_pictures(batch, classify, class_names, top, extras):
                writer.write(answer)
                if answer.reason:
                    bad.append(answer.path)
            progress.update(len(batch))


def answer_pictures(
    pictures: Sequence[Picture], classify: Classify, class_names: list[str], top: int, extras: Extras = NO_EXTRAS
) -> list[Answer]:
    """One answer per picture, without a ranking for one without pixels."""
    usable = [picture.pixels for picture in pictures if picture.pixels is not None]
    rows: Iterator[np.ndarray] = iter(classify(np.stack(usable)) if usable else ())
    answers = []
    for picture in pictures:
        if picture.pixels is None:
            answers.append(Answer(picture.path, [], picture.reason))
            continue
        row = next(rows)
        members = None if extras.rule is None else list_members(row, class_names, extras.rule)
        decision = None if extras.costs is None else class_names[int(decide(row[None], extras.costs)[0])]
        answers.append(Answer(picture.path, rank_classes(row, class_names, top), picture.reason, members, decision))
    return answers


def list_members(probabilities: np.ndarray, class_names: list[str], rule: SetRule) -> list[str]:
    """The classes in a picture's prediction set, the most probable first. probabilities: calibrated, (classes,)."""
    inside = make_sets(probabilities[None], rule)[0]
    return [class_names[number] for number in np.argsort(-probabilities, kind="stable") if inside[number]]


def rank_classes(probabilities: np.ndarray, class_names: list[str], top: int) -> Ranking:
    """The `top` most probable classes. probabilities: float (classes,); six digits are kept."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(class_names[number], round(float(probabilities[number]), 6)) for number in order]


def make_writer(form: str, family: str, top: int, extras: Extras = NO_EXTRAS) -> Writer:
    """form: json, csv or text. top: classes in each answer, at most as many as there are. extras: csv has a column for each."""
    if form == "csv":
        return _CsvWriter(family, top, extras)
    return _JsonWriter(family) if form == "json" else _TextWriter(family)


class _JsonWriter:
    """One object per line."""

    def __init__(self, family: str) -> None:
        self._family = family

    def write(self, answer: Answer) -> None:
        content: dict[str, Any] = {"path": answer.path, "family": self._family}
        if answer.reason:
            content["error"] = answer.reason
        else:
            content["predictions"] = [{"label": label, "probability": p} for label, p in answer.ranking]
            if answer.members is not None:
                content["set"] = answer.members
            if answer.decision is not None:
                content["decision"] = answer.decision
        print(json.dumps(content, ensure_ascii=False), flush=True)


class _CsvWriter:
    """A header, then one row per picture."""

    def __init__(self, family: str, top: int, extras: Extras) -> None:
        self._family, self._top, self._extras = family, top, extras
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        columns = [name for n in range(1, top + 1) for name in (f"class_{n}", f"probability_{n}")]
        self._rows.writerow(["path", "family", *columns, *self._name_extras(), "error"])

    def write(self, answer: Answer) -> None:
        values = [value for pair in answer.ranking for value in pair] or [""] * (2 * self._top)
        if self._extras.rule is not None:
            # A list of names in one cell, whatever characters they have.
            values.append("" if answer.members is None else json.dumps(answer.members, ensure_ascii=False))
        if self._extras.costs is not None:
            values.append(answer.decision or "")
        cells = [answer.path, self._family, *values, answer.reason]
        self._rows.writerow([guard_cell(cell) if isinstance(cell, str) else cell for cell in cells])
        sys.stdout.flush()

    def _name_extras(self) -> list[str]:
        there = {"set": self._extras.rule, "decision": self._extras.costs}
        return [name for name, value in there.items() if value is not None]


class _TextWriter:
    """One line per picture; those that can't be used are reported on stderr. No name moves the terminal's cursor."""

    def __init__(self, family: str) -> None:
        logger.info("%s:", family)

    def write(self, answer: Answer) -> None:
        shown = show_unseen_in_name(answer.path)
        if answer.reason:
            logger.error("%s: %s", shown, show_unseen_in_name(answer.reason))
            return
        text = ", ".join(f"{show_unseen_in_name(label)} {100 * p:.1f} %" for label, p in answer.ranking)
        if answer.members is not None:
            text += f"; one of: {', '.join(map(show_unseen_in_name, answer.members))}"
        if answer.decision is not None:
            text += f"; costs least: {show_unseen_in_name(answer.decision)}"
        print(f"{shown}  {text}", flush=True)
