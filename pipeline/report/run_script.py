"""metrics/run.js: what the page shows of this one run on this one machine, and what differs each time: clock, commit, hardware.

It is beside metrics/report.html, which loads it if it is there. DVC hashes the page and must not hash a clock.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.report.charts.costs import draw_tradeoff
from pipeline.report.costs import add_ensemble, make_costs
from pipeline.report.run_facts import describe_commit, describe_machine, find_changes
from pipeline.runtime.files import write_aside


def write_run(
    file: Path,
    key: str,
    timings: pd.DataFrame,
    summary: pd.DataFrame,
    facts: dict[str, str],
    exports: list[dict[str, Any]],
    weights: Mapping[str, float],
) -> None:
    """Writes the script that calls `showRun` of the page. key: of the models that the page is about; another page ignores
    the script. timings: family and its readings, see `make_costs`. facts: more than the machine and the commit.
    exports: see `list_export_costs`. weights: of families in their ensemble, if there is one."""
    costs = make_costs(timings, summary)
    timed = costs.dropna(subset=["milliseconds"])
    content = {
        "key": key,
        "costs": json.loads(add_ensemble(costs, summary, weights).to_json(orient="records")),
        "chart": draw_tradeoff(timed) if len(timed) else None,
        "facts": describe_machine() | describe_commit() | facts,
        "changes": find_changes(),
        "exports": exports,
    }
    # "</" ends a script, even within a string
    text = json.dumps(content, ensure_ascii=True).replace("</", "<\\/")
    with write_aside(file) as partial:
        partial.write_text(f"showRun({text});\n", encoding="utf-8")
