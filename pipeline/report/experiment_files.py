"""The files that an experiment has in git, as values and tables. Pure."""

import io
from typing import Any

import pandas as pd
import yaml

from pipeline.config.reader import parse_yaml
from pipeline.report.run_facts import flatten
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import METRICS, PARAMS

SUMMARY = METRICS / "summary.csv"
SCORES = ["val_accuracy", "test_accuracy", "test_macro_f1"]  # what a summary must have for each family


def parse_section(text: str) -> dict[str, Any]:
    """Raises ValueError if it is neither one section nor a comment."""
    content = parse_yaml(text)
    if content is None:
        return {}
    if not isinstance(content, dict) or len(content) != 1:
        raise ValueError
    return flatten(content)


def parse_whole(text: str) -> dict[str, Any]:
    """The parameters of a whole params.yaml by their dotted names. Raises PipelineError if it has none."""
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        raise PipelineError(f"its {PARAMS} is not valid YAML") from error
    if not isinstance(content, dict):
        raise PipelineError(f"its {PARAMS} has no sections")
    return flatten(content)


def parse_summary(text: str) -> pd.DataFrame:
    """metrics/summary.csv: a row per family, with SCORES. Raises PipelineError for anything else."""
    try:
        table = pd.read_csv(io.StringIO(text), dtype={"family": "str"})
    except ValueError as error:  # empty, or no table
        raise PipelineError(f"its {SUMMARY} is no table") from error
    if missing := [name for name in ("family", *SCORES) if name not in table.columns]:
        raise PipelineError(f"its {SUMMARY} lacks {', '.join(missing)}")
    return table
