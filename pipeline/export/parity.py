"""The gate: whether exported files say what the model says, image by image. Pure."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.config.types import ExportFormat
from pipeline.evaluation.intervals import LEVEL, compare_pairs, compute_accuracy_interval
from pipeline.runtime.errors import PipelineError
from pipeline.training.scores import DIGITS

MARGIN = 1e-4  # between the two highest probabilities: below it, rounding decides which class is first
NEAR = 1e-3  # of a distance: a limit as near to it may lie on its other side by rounding

_NO_NUMBERS = "gives probabilities that are no numbers"


@dataclass(frozen=True)
class Distances:
    """By which pictures are none of the classes, see `pipeline.evaluation.familiarity`. model, exported: float (n,), 0 or more.
    scores: float, ascending: of val, one of which is the limit, whatever evaluate.false_alarms is."""

    model: np.ndarray
    exported: np.ndarray
    scores: np.ndarray

    @property
    def unit(self) -> np.ndarray:
        """float (n,): what differences are relative to, the model's distance or 1, about that of a training image."""
        return np.maximum(self.model, 1.0)


@dataclass(frozen=True)
class Answers:
    """labels: int (n,). model: probabilities by the model from the pixels that it was measured on; exported: by an exported
    file from files' bytes; both float32 (n, classes). names: of the images. distances: None where the file has none."""

    names: list[str]
    labels: np.ndarray
    model: np.ndarray
    exported: np.ndarray
    distances: Distances | None = None


@dataclass(frozen=True)
class Parity:
    """One exported file against the model, on test. bytes: of the file. agreement: share of images with the same first class.
    disagreements: images with another one though the model's margin is above 1e-4. largest_difference: of a probability,
    rounded up to one digit. accuracy_low, accuracy_high: its 95 % interval. model_accuracy: of the model itself. only_exported,
    only_model: images that only one of them classifies correctly. p: McNemar's exact test. distance_difference: the largest
    relative one of the distance, rounded up; refusal_disagreements: see `find_other_refusals`; both None where the file has no
    distance. status: kept, or refused for `reason`."""

    format: str
    file: str
    bytes: int
    images: int
    agreement: float
    disagreements: int
    largest_difference: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    model_accuracy: float
    only_exported: int
    only_model: int
    p: float
    distance_difference: float | None = None
    refusal_disagreements: int | None = None
    status: str = "kept"
    reason: str = ""

    def refuse(self, reason: str) -> "Parity":
        """The same row of a file that is not kept."""
        return replace(self, status="refused", reason=reason)


def compare(name: ExportFormat, file: str, size: int, answers: Answers) -> Parity:
    """size: bytes of the file."""
    correct = {
        who: given.argmax(axis=1) == answers.labels
        for who, given in (("model", answers.model), ("exported", answers.exported))
    }
    pair = compare_pairs(correct, [("exported", "model")]).iloc[0]
    hits, images = int(correct["exported"].sum()), len(answers.labels)
    low, high = compute_accuracy_interval(hits, images)
    return Parity(
        format=name,
        file=file,
        bytes=size,
        images=images,
        agreement=round(float((answers.model.argmax(axis=1) == answers.exported.argmax(axis=1)).mean()), DIGITS),
        disagreements=len(find_disagreements(answers)),
        largest_difference=round_up(float(np.abs(answers.model - answers.exported).max())),
        accuracy=round(hits / images, DIGITS),
        accuracy_low=low,
        accuracy_high=high,
        model_accuracy=round(float(correct["model"].mean()), DIGITS),
        only_exported=int(pair["only_family"]),
        only_model=int(pair["only_reference"]),
        p=float(pair["p"]),
        distance_difference=_measure_distance_difference(answers.distances),
        refusal_disagreements=None if answers.distances is None else len(find_other_refusals(answers)),
    )


def _measure_distance_difference(distances: Distances | None) -> float | None:
    if distances is None:
        return None
    return round_up(float((np.abs(distances.exported - distances.model) / distances.unit).max()))


def find_disagreements(answers: Answers) -> list[str]:
    """Names of the images with another first class though the model's two highest are more than `MARGIN` apart."""
    highest = np.sort(answers.model, axis=1)[:, -2:]
    is_sure = highest[:, 1] - highest[:, 0] > MARGIN
    differs = answers.model.argmax(axis=1) != answers.exported.argmax(axis=1)
    return [answers.names[row] for row in np.flatnonzero(is_sure & differs)]


def find_other_refusals(answers: Answers) -> list[str]:
    """Names of the images that one of them takes for none of the classes and the other does not, with some limit that is not
    within `NEAR` of the model's distance."""
    distances = answers.distances
    if distances is None:
        return []
    exported, near = distances.exported, NEAR * distances.unit
    # How many limits each distance is above.
    above, least, most = (
        np.searchsorted(distances.scores, values, "left")
        for values in (exported, distances.model - near, distances.model + near)
    )
    differs = (above < least) | (above > most) | ~np.isfinite(exported)
    return [answers.names[row] for row in np.flatnonzero(differs)]


def round_up(value: float) -> float:
    """To one digit, such as 8.05e-07 to 9e-07: the others differ between processors."""
    if value == 0 or not np.isfinite(value):
        return value
    unit = 10.0 ** np.floor(np.log10(value))
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.0e}")


def check_exact(family: str, parity: Parity, answers: Answers) -> None:
    """Raises PipelineError where a file that computes in float32 says something else than the model, or no number at all."""
    if not np.isfinite(parity.largest_difference):
        raise PipelineError(
            f"{family} as {parity.format} {_NO_NUMBERS}: expected the model's; leave {parity.format} out of export.formats"
        )
    if wrong := find_disagreements(answers):
        raise PipelineError(
            f"{family} as {parity.format} names another class than the model for {len(wrong)} of {parity.images} test images, "
            f"such as {wrong[0]!r}, though the margin is above {MARGIN:g}: expected none; leave {parity.format} out of "
            "export.formats, and please report this as a bug"
        )
    if wrong := find_other_refusals(answers):
        raise PipelineError(
            f"{family} as {parity.format} gives another distance than the model, by which {len(wrong)} of {parity.images} test "
            f"images, such as {wrong[0]!r}, would be none of these by only one of them: expected none; leave {parity.format} "
            "out of export.formats, and please report this as a bug"
        )


def find_reason(parity: Parity, max_drop: float) -> str:
    """Why a file that rounds is refused; empty if it is kept: if its accuracy is at most `max_drop` lower than the model's, and
    not distinguishably lower."""
    if not np.isfinite(parity.largest_difference):
        return _NO_NUMBERS
    drop = round(parity.model_accuracy - parity.accuracy, DIGITS)
    if drop > max_drop:
        return f"accuracy is {drop:g} lower than the model's, more than export.max_drop, {max_drop:g}"
    if drop > 0 and parity.p < 1 - LEVEL:
        return f"accuracy is {drop:g} lower than the model's, distinguishably so (p = {parity.p:g})"
    return ""
