"""metrics/plan.json: what a run within budget.minutes does, as parameters, and what was measured for it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import PLAN


@dataclass(frozen=True)
class Plan:
    """key: digest of the budget and of the pictures' numbers. settings: as `dvc exp run -S` takes them. lines: the table.
    predicted: minutes. speed: what was measured, see `Speed`: for people only."""

    key: str
    minutes: float
    settings: list[str]
    lines: list[str]
    predicted: float
    speed: dict[str, Any]


def compute_digest(facts: object) -> str:
    """Of what JSON can hold, 64 hex digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def load_plan(key: str, file: Path = PLAN) -> Plan | None:
    """The plan with this key; None where the file has none, or that of another budget or other pictures."""
    try:
        plan = Plan(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return plan if plan.key == key else None


def save_plan(plan: Plan, file: Path = PLAN) -> None:
    """Written aside, and renamed."""
    with write_aside(file) as partial:
        partial.write_text(json.dumps(asdict(plan), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
