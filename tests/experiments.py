"""Experiments as DVC keeps them in git, made without DVC: refs/exps/<the baseline, cut in two>/<name>."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.clone import commit, run


def make_params(**changes: Any) -> dict[str, Any]:
    """Of params.yaml a few; two underscores stand for a dot: train__dropout=0.1."""
    content: dict[str, Any] = {
        "data": {"source": "scenes", "path": None},
        "families": ["optimized", "linear_svm"],
        "train": {"seed": 42, "dropout": None, "augment": {"flip": None}},
        "crossval": {"families": [], "folds": [1, 2, 3], "seed": 42, "augment": True},
    }
    for name, value in changes.items():
        section, key = name.split("__") if "__" in name else (None, name)
        (content[section] if section else content)[key] = value
    return content


def make_summary(**accuracy: float) -> pd.DataFrame:
    """metrics/summary.csv of families by validation accuracy; on test they have 0.1 less."""
    rows = [(family, value - 0.1, value, value - 0.2, 1000) for family, value in accuracy.items()]
    return pd.DataFrame(rows, columns=["family", "test_accuracy", "val_accuracy", "test_macro_f1", "parameters"]).round(
        6
    )


def make_folds(*accuracy: float) -> pd.DataFrame:
    """folds.csv: a fold for each accuracy, of 10 images, trained on 40."""
    table = pd.DataFrame({"fold": range(1, len(accuracy) + 1), "accuracy": accuracy, "loss": 1.5, "macro_f1": 0.5})
    return table.assign(images=10, training_images=40, best_epoch=3)


def write_results(
    folder: Path, params: dict[str, Any], summary: pd.DataFrame | None, folds: dict[str, pd.DataFrame] | None = None
) -> None:
    """What a run of the pipeline leaves in the workspace."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")
    if summary is not None:
        (folder / "metrics").mkdir(parents=True, exist_ok=True)
        summary.to_csv(folder / "metrics/summary.csv", index=False)
    for family, table in (folds or {}).items():
        place = folder / "metrics/crossval" / family
        place.mkdir(parents=True, exist_ok=True)
        table.to_csv(place / "folds.csv", index=False)


def make_repository(folder: Path, **changes: Any) -> Path:
    """A repository with one commit, which holds parameters and no results. changes: of the parameters."""
    run(["git", "init", "--quiet", "--initial-branch=main"], folder)
    write_results(folder, make_params(**changes), None)
    commit(folder, "start")
    return folder


def add_experiment(
    folder: Path,
    name: str,
    params: dict[str, Any],
    summary: pd.DataFrame | None,
    folds: dict[str, pd.DataFrame] | None = None,
    files: dict[str, str] | None = None,
) -> str:
    """An experiment on HEAD; returns its commit. The workspace is as HEAD has it afterwards. files: more of them."""
    head = run(["git", "rev-parse", "HEAD"], folder).strip()
    write_results(folder, params, summary, folds)
    for file, text in (files or {}).items():
        (folder / file).write_text(text)
    commit(folder, name)
    revision = run(["git", "rev-parse", "HEAD"], folder).strip()
    run(["git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", revision], folder)
    run(["git", "reset", "--quiet", "--hard", head], folder)
    return revision
