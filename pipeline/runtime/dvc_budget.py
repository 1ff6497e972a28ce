"""`dvc exp run` within budget.minutes: asks the project's own plan what to train, before DVC begins, and passes it on as -S."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import PLAN


def has_budget(file: Path) -> bool:
    """Whether these parameters ask for a plan. What is no YAML is left to the check."""
    try:
        content: Any = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, UnicodeError):
        return False
    budget = content.get("budget") if isinstance(content, dict) else None
    return isinstance(budget, dict) and budget.get("minutes") is not None


def ask_plan(project: Path, file: Path, overrides: list[str]) -> list[str]:
    """More of what -S takes. file: params.yaml with the values of -S, which are `overrides`. The table is on stderr. Raises
    PipelineError with what the plan says, and where -S sets what a plan decides."""
    command = [sys.executable, "-m", "stages.plan", "--settings", "--params", str(file)]
    faults: list[str] = []
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:  # as it comes: a measurement takes a while
            if line.startswith("error: "):
                faults.append(line)
            else:
                print(line, end="", file=sys.stderr, flush=True)
        planned = process.stdout.read().splitlines()
    if process.returncode:
        raise PipelineError("".join(faults).strip().removeprefix("error: ") or "no plan was made: see above")
    names = {_name(setting) for setting in planned}
    if taken := sorted(names & set(map(_name, overrides))):
        raise PipelineError(
            f"budget.minutes decides {taken[0]}: expected no -S {taken[0]} beside it, or budget.minutes null, received both"
        )
    return planned


def _name(setting: str) -> str:
    return setting.partition("=")[0].lstrip("+~")


def describe_end(project: Path, seconds: float) -> str:
    """How long a run took, against its plan. Empty where there is none."""
    try:
        plan = json.loads((project / PLAN).read_text(encoding="utf-8"))
        planned, minutes = plan["predicted"], plan["minutes"]
    except (OSError, ValueError, KeyError):
        return ""
    return f"took {seconds / 60:.1f} minutes of {minutes:g}; planned: {planned:.1f}"
