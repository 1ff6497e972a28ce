"""One picture's answer: its most probable classes, their set, and whether it is none of these. Imports nothing heavy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pipeline.evaluation.conformal import SetRule, load_rule, make_sets
from pipeline.evaluation.familiarity import load_limit, score_confidence
from pipeline.models.contract import Contract

if TYPE_CHECKING:
    from pipeline.config.sections import Evaluate
    from pipeline.data.image_files import Picture

Ranking = list[tuple[str, float]]  # class and probability, the most probable first


class Answer(NamedTuple):
    """ranking: empty if the picture can't be used; then reason says why. members: classes in its prediction set, the most
    probable first. decision: the class that costs least. is_none: whether it looks like none of the classes. All None where
    not asked for."""

    path: str
    ranking: Ranking
    reason: str = ""
    members: list[str] | None = None
    decision: str | None = None
    is_none: bool | None = None


@dataclass(frozen=True)
class Refusal:
    """What is none of the classes: what has a score above `limit`; see pipeline.evaluation.familiarity."""

    score: Literal["distance", "confidence"]
    limit: float

    def refuses(self, row: np.ndarray, num_classes: int) -> bool:
        """row: calibrated probabilities (classes,), and behind them the distance where the score is that."""
        if self.score == "confidence":
            return bool(score_confidence(row[None, :num_classes])[0] > self.limit)
        return bool(row[num_classes] > self.limit)


def load_refusal(contract: Contract, false_alarms: float, file: Path) -> Refusal | None:
    """Of the model in `file`; None where an older version wrote it, which knows of no such thing."""
    if contract.familiarity is None:
        return None
    return Refusal(contract.familiarity.score, load_limit(contract, false_alarms, file))


def load_rules(contract: Contract, evaluate: "Evaluate", file: Path) -> SetRule:
    """Of prediction sets. evaluate: the section of params.yaml. Raises PipelineError where the model in `file` knows nothing of
    sets, or of what is none of its classes."""
    load_limit(contract, evaluate.false_alarms, file)
    return load_rule(contract, evaluate.coverage, file)


def make_answers(
    pictures: Sequence["Picture"],
    rows: Iterable[np.ndarray],
    class_names: list[str],
    top: int,
    *,
    rule: SetRule | None,
    refusal: Refusal | None,
    decide: Callable[[np.ndarray], str] | None = None,
) -> list[Answer]:
    """One answer per picture, without a ranking for one without pixels. rows: for each with pixels, in their order, calibrated
    probabilities (classes,), and behind them the distance where there is one. decide: by these probabilities, the class that
    costs least. None: not asked for."""
    left, answers = iter(rows), []
    for picture in pictures:
        if picture.pixels is None:
            answers.append(Answer(picture.path, [], picture.reason))
            continue
        both = next(left)
        row = both[: len(class_names)]
        answers.append(
            Answer(
                picture.path,
                rank_classes(row, class_names, top),
                picture.reason,
                members=None if rule is None else list_members(row, class_names, rule),
                decision=None if decide is None else decide(row),
                is_none=None if refusal is None else refusal.refuses(both, len(class_names)),
            )
        )
    return answers


def list_members(probabilities: np.ndarray, class_names: list[str], rule: SetRule) -> list[str]:
    """The classes in a picture's prediction set, the most probable first. probabilities: calibrated, (classes,)."""
    inside = make_sets(probabilities[None], rule)[0]
    return [class_names[number] for number in np.argsort(-probabilities, kind="stable") if inside[number]]


def rank_classes(probabilities: np.ndarray, class_names: list[str], top: int) -> Ranking:
    """The `top` most probable classes. probabilities: float (classes,); six digits are kept."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(class_names[number], round(float(probabilities[number]), 6)) for number in order]


def describe_answer(answer: Answer, family: str) -> dict[str, Any]:
    """As JSON has it."""
    content: dict[str, Any] = {"path": answer.path, "family": family}
    if answer.reason:
        return content | {"error": answer.reason}
    content["predictions"] = [{"label": label, "probability": p} for label, p in answer.ranking]
    more = {"set": answer.members, "decision": answer.decision, "none_of_these": answer.is_none}
    return content | {name: value for name, value in more.items() if value is not None}
