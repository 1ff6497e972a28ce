"""The answers of predict: the most probable classes of each picture, as JSON lines, as CSV or as text."""

import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.data.image_files import Picture
from pipeline.evaluation.conformal import SetRule, load_asked_rule
from pipeline.evaluation.decisions import decide
from pipeline.evaluation.measures import load_costs
from pipeline.evaluation.ranking import Answer, Refusal, describe_answer, load_refusal, make_answers
from pipeline.evaluation.temperature import apply_temperature
from pipeline.models.contract import CONTRACT_FILE, Contract, describe_remedy
from pipeline.runtime.cells import guard_cell
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import in_chunks
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.unseen import show_unseen_in_name

if TYPE_CHECKING:
    from pipeline.config.sections import Evaluate

logger = logging.getLogger(__name__)

BATCH = 32  # pictures

# uint8 (n, size, size, 3) to calibrated probabilities (n, classes), or to (n, classes + 1) with the distance behind them.
Classify = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Extras:
    """What answers have besides a ranking. rule: of prediction sets. costs: of errors, see `make_cost_matrix`. refusal: of
    what is none of the classes. None: no such thing."""

    rule: SetRule | None = None
    costs: np.ndarray | None = None
    refusal: Refusal | None = None


NO_EXTRAS = Extras()


def load_extras(
    contract: Contract, evaluate: "Evaluate", file: Path, *, coverage: float | None, with_costs: bool
) -> Extras:
    """What the user asks for, and what the model in `file` refuses, if it knows. evaluate: the section of params.yaml."""
    rule = load_asked_rule(contract, coverage, file)
    costs = load_costs(evaluate.costs, contract.class_names) if with_costs else None
    return Extras(rule, costs, load_refusal(contract, evaluate.false_alarms, file))


class Writer(Protocol):
    """Writes each answer to stdout as soon as it is known."""

    def write(self, answer: Answer) -> None:
        """One picture's."""


def load_classifier(artifact: Path, contract: Contract) -> Classify:
    """A saved model with calibrated probabilities, and the distance where it refuses by that. Imports TensorFlow, which must
    have been configured. Raises PipelineError where the model's inputs and outputs are not those that its contract promises."""
    from pipeline.evaluation.familiarity_fit import make_answering
    from pipeline.models.artifacts import load_model
    from pipeline.models.inference import freeze

    model, size, classes = load_model(artifact), contract.image_size, len(contract.class_names)
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if shapes != ((None, size, size, 3), (None, classes)):
        raise PipelineError(
            f"{artifact} takes {shapes[0]} and gives {shapes[1]}: expected {size} px and {classes} classes, as its "
            f"{CONTRACT_FILE} says; {describe_remedy(artifact)}"
        )
    apply = freeze(make_answering(model, contract, artifact))

    def classify(pixels: np.ndarray) -> np.ndarray:
        both = apply(pixels)
        return np.hstack([apply_temperature(both[:, :classes], contract.temperature), both[:, classes:]])

    return classify


def write_answers(batches: Iterable[Sequence[Answer]], writer: Writer, bad: list[str]) -> None:
    """Writes answers as they come. Appends the paths of pictures that can't be used to `bad`."""
    with progress_bar(desc="predict", unit=" images", disable=None) as progress:
        for batch in batches:
            for answer in batch:
                writer.write(answer)
                if answer.reason:
                    bad.append(answer.path)
            progress.update(len(batch))


def answer_batches(
    pictures: Iterable[Picture], classify: Classify, class_names: list[str], top: int, extras: Extras = NO_EXTRAS
) -> Iterator[list[Answer]]:
    """One answer per picture, a batch at a time: last digits depend on how batches are composed."""
    for batch in in_chunks(pictures, BATCH):
        yield answer_pictures(batch, classify, class_names, top, extras)


def answer_pictures(
    pictures: Sequence[Picture], classify: Classify, class_names: list[str], top: int, extras: Extras = NO_EXTRAS
) -> list[Answer]:
    """One answer per picture, without a ranking for one without pixels."""
    usable = [picture.pixels for picture in pictures if picture.pixels is not None]
    rows = classify(np.stack(usable)) if usable else ()
    costs = extras.costs
    choose = None if costs is None else lambda row: class_names[int(decide(row[None], costs)[0])]
    return make_answers(pictures, rows, class_names, top, rule=extras.rule, refusal=extras.refusal, decide=choose)


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
        print(json.dumps(describe_answer(answer, self._family), ensure_ascii=False), flush=True)


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
        if self._extras.refusal is not None:
            values.append("" if answer.is_none is None else "yes" if answer.is_none else "no")
        cells = [answer.path, self._family, *values, answer.reason]
        self._rows.writerow([guard_cell(cell) if isinstance(cell, str) else cell for cell in cells])
        sys.stdout.flush()

    def _name_extras(self) -> list[str]:
        extras = self._extras
        there = {"set": extras.rule, "decision": extras.costs, "none_of_these": extras.refusal}
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
        if answer.is_none:
            text += "; none of these"
        print(f"{shown}  {text}", flush=True)
