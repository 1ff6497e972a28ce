"""Experiments as DVC keeps them in git, made without DVC: refs/exps/<the baseline, cut in two>/<name>."""

import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.data.tfrecords import DatasetFacts
from pipeline.models.contract import CONTRACT_FILE, dump_contract, make_contract
from pipeline.report.experiments import Experiment
from pipeline.report.held_out_sets import HeldOut
from pipeline.report.run_facts import flatten
from tests.clone import commit, run


def make_params(**changes: Any) -> dict[str, Any]:
    """A few of the parameters; two underscores mean a dot: train__dropout=0.1."""
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
    """metrics/summary.csv of families by validation accuracy; test accuracy is 0.1 less."""
    rows = [(family, value - 0.1, value, value - 0.2, 1000) for family, value in accuracy.items()]
    return pd.DataFrame(rows, columns=["family", "test_accuracy", "val_accuracy", "test_macro_f1", "parameters"]).round(
        6
    )


def make_folds(*accuracy: float) -> pd.DataFrame:
    """folds.csv: one fold per accuracy, of 10 images, trained on 40."""
    table = pd.DataFrame({"fold": range(1, len(accuracy) + 1), "accuracy": accuracy, "loss": 1.5, "macro_f1": 0.5})
    return table.assign(images=10, training_images=40, best_epoch=3)


def make_curves(family: str, *accuracy: float) -> pd.DataFrame:
    """Learning curves: one epoch for each accuracy in validation."""
    table = pd.DataFrame({"family": family, "split": "val", "epoch": range(1, len(accuracy) + 1), "accuracy": accuracy})
    return table.assign(loss=1 - table["accuracy"])


def make_experiment(
    name: str,
    accuracy: dict[str, float] | None = None,
    *,
    folds: dict[str, pd.DataFrame] | None = None,
    images: str | None = None,
    **changes: Any,
) -> Experiment:
    """accuracy: of each family in validation. images: see HeldOut. changes: of the parameters."""
    summary = make_summary(**(accuracy or {"optimized": 0.5}))
    return Experiment(name, None, flatten(make_params(**changes)), summary, folds or {}, HeldOut(images=images))


def make_seeds() -> list[Experiment]:
    """Two settings, one with three seeds and one with a single seed."""
    return [
        make_experiment("a1", {"optimized": 0.7}, train__seed=1, train__dropout=0.1),
        make_experiment("a2", {"optimized": 0.8}, train__seed=2, train__dropout=0.1),
        make_experiment("a3", {"optimized": 0.9}, train__seed=3, train__dropout=0.1),
        make_experiment("b1", {"optimized": 0.85, "linear_svm": 0.6}, train__seed=1, train__dropout=0.2),
    ]


def write_results(
    folder: Path, params: dict[str, Any], summary: pd.DataFrame | None, folds: dict[str, pd.DataFrame] | None = None
) -> None:
    """What a run of the pipeline leaves in the workspace."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")
    if summary is not None:
        (folder / "metrics").mkdir(parents=True, exist_ok=True)
        summary.to_csv(folder / "metrics/summary.csv", index=False)
    for family, table in (folds or {}).items():
        target = folder / "metrics/crossval" / family
        target.mkdir(parents=True, exist_ok=True)
        table.to_csv(target / "folds.csv", index=False)


def make_repository(folder: Path, **changes: Any) -> Path:
    """A repository of git and DVC with one commit: parameters and no results. changes: of the parameters."""
    run(["git", "init", "--quiet", "--initial-branch=main"], folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("")
    (folder / ".dvc/.gitignore").write_text("/config.local\n/cache\n/tmp\n")
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
    """An experiment on HEAD; returns its commit. Afterwards the workspace is as in HEAD. files: more, name to text."""
    head = run(["git", "rev-parse", "HEAD"], folder).strip()
    write_results(folder, params, summary, folds)
    for file, text in (files or {}).items():
        (folder / file).write_text(text)
    commit(folder, name)
    revision = run(["git", "rev-parse", "HEAD"], folder).strip()
    run(["git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", revision], folder)
    run(["git", "reset", "--quiet", "--hard", head], folder)
    return revision


def save_model(file: Path, *class_names: str, data: str = "d" * 64) -> Path:
    """A model file with a contract and nothing else."""
    facts = DatasetFacts(list(class_names), {}, {}, 32, "crop", [1.0] * 3, [2.0] * 3, "auto", data)
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(CONTRACT_FILE, dump_contract(make_contract(file.stem, facts, temperature=1.0, settings={})))
    return file


def make_splits(held_out: dict[str, str], train: dict[str, str]) -> str:
    """The text of data/splits.csv. held_out, train: image to label; of `held_out` every second one is in test."""
    rows = [(image, label, ("test", "val")[index % 2]) for index, (image, label) in enumerate(held_out.items())]
    rows += [(image, label, "train") for image, label in train.items()]
    lines = [f"{image},{label}/{image}.png,{label},{split}\n" for image, label, split in rows]
    return "".join(["image_id,name,label,split\n", *lines])


def make_lock(models: dict[str, str], splits: str | None) -> str:
    """The text of a dvc.lock. models: family to digest. splits: the digest of data/splits.csv that the report is of."""
    deps = {f"evaluate@{family}": (f"models/{family}.keras", digest) for family, digest in models.items()}
    deps |= {"report": ("data/splits.csv", splits)} if splits else {}
    stages = {
        stage: {"cmd": "…", "deps": [{"path": path, "hash": "md5", "md5": digest, "size": 1}]}
        for stage, (path, digest) in deps.items()
    }
    return yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False, allow_unicode=True)
