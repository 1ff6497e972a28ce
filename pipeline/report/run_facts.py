"""metrics/run.js: what the page shows of this one run on this one machine, and what differs each time: clock, commit, hardware.

It lies beside metrics/report.html, which loads it if it is there. DVC hashes the page and must not hash a clock.
"""

import json
import platform
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from pipeline.config.reader import parse_yaml
from pipeline.report.charts import draw_tradeoff
from pipeline.runtime.git import ask_git
from pipeline.runtime.paths import PARAMS
from pipeline.runtime.processes import num_cores


def write_run(file: Path, key: str, timings: pd.DataFrame, summary: pd.DataFrame, families: list[str]) -> None:
    """Writes the script that calls `showRun` of the page. key: of the figures that the page shows; another page ignores it."""
    costs = make_costs(timings, summary)
    content = {
        "key": key,
        "costs": json.loads(costs.to_json(orient="records")),
        "chart": draw_tradeoff(costs.dropna(subset=["milliseconds"])) if costs["milliseconds"].notna().any() else None,
        "facts": describe_machine() | describe_commit() | {"Families": ", ".join(families)},
        "changes": find_changes(),
    }
    # "</" ends a script, even within a string
    text = json.dumps(content, ensure_ascii=True).replace("</", "<\\/")
    file.write_text(f"showRun({text});\n", encoding="utf-8")


def make_costs(timings: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """family, accuracy, milliseconds (for one image alone), images_per_second (32 at a time), train_seconds,
    train_peak_mb, evaluate_peak_mb, model_mb, parameters, on_front; missing where there is no reading.

    on_front: no other family is both at least as accurate and at least as fast, and better in one (Pareto).
    """
    columns = ["images_per_second_1", "images_per_second_32", "train_seconds", "train_peak_mb", "evaluate_peak_mb"]
    readings = timings.reindex(columns=["family", *columns])
    table = readings.merge(summary[["family", "test_accuracy", "parameters", "model_bytes"]], on="family")
    table = table.assign(
        milliseconds=(1000 / table["images_per_second_1"]).round(2), model_mb=(table["model_bytes"] / 1e6).round(2)
    ).rename(columns={"test_accuracy": "accuracy", "images_per_second_32": "images_per_second"})
    table = table.assign(on_front=find_front(table)).drop(columns=["images_per_second_1", "model_bytes"])
    return table.sort_values(["accuracy", "family"], ascending=[False, True], ignore_index=True)


def find_front(table: pd.DataFrame) -> list[bool]:
    """For each row, whether none is better in one of accuracy and milliseconds and as good in the other."""
    points = list(zip(table["accuracy"], table["milliseconds"], strict=True))
    return [
        bool(time == time) and not any((a >= accuracy and t <= time) and (a > accuracy or t < time) for a, t in points)
        for accuracy, time in points
    ]


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, system."""
    return {
        "Processor": f"{read_processor()}, {num_cores()} cores",
        "Memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "System": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def read_processor() -> str:
    """Its name, as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def describe_commit() -> dict[str, str]:
    """The commit that the run started from, and whether code differs from it."""
    commit = ask_git("rev-parse", "HEAD")
    if commit is None:
        return {"Commit": "not in a git repository"}
    changed = ask_git("status", "--porcelain", "--untracked-files=no", "--", "stages", "dvc.yaml") or ""
    return {"Commit": commit.strip() + (", with changed code" if changed.strip() else "")}


def find_changes() -> dict[str, str]:
    """Parameters whose values differ from those of the commit, as 'old → new'; of an experiment, what `-S` has set."""
    before = ask_git("show", f"HEAD:./{PARAMS}")
    if before is None:
        return {}
    old, new = flatten(parse_yaml(before)), flatten(parse_yaml(PARAMS.read_text()))
    return {
        name: f"{_show(old.get(name))} → {_show(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    """Parameters by their dotted names; lists and empty sections are values."""
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    parts = [flatten(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in content.items()]
    return {name: value for part in parts for name, value in part.items()}


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
