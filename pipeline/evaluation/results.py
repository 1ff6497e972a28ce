"""What evaluate hands to the report: data/evaluations/<family>/, one folder per family, with the same files in each."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.manifest import read_table, save_table
from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.metric_types import Metrics, ModelFacts
from pipeline.evaluation.plot_text import make_drawable
from pipeline.evaluation.slices import ALIKE
from pipeline.models.contract import CONTRACT_FILE, Contract, dump_contract, parse_contract
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256, folder_aside, remove, write_aside
from pipeline.runtime.paths import EVALUATIONS, EXPORTED, METRICS, MODELS, TFRECORDS

_PUBLISHED = ("metrics.json", "classes.csv", "classes_train.csv", "predictions.csv", "calibration.json")
_TEXT = dict.fromkeys(
    ["image_id", "name", "label", "predicted", "layer", "kind", "score", "state", "reason", ALIKE], "str"
)
_NUMBERS = ("p:", "confidence", "distance", "set_", "roc_auc", "pr_auc", "auroc", "refused")


@dataclass(frozen=True)
class Results:
    """metrics: see pipeline.evaluation.metric_types. classes, confusion, predictions, val_predictions: see
    pipeline.evaluation.metrics; classes_train: as classes, of the training images. train_predictions: of training images by a
    classifier that did not see them, see pipeline.evaluation.out_of_fold; no rows where there is none. curves: split (train or
    val), epoch (from 1), accuracy, loss. roc, pr: see pipeline.evaluation.roc_pr. reliability: see
    pipeline.evaluation.calibration, and state (before or after calibration).
    layers: see pipeline.evaluation.layer_table. outside: see pipeline.evaluation.out_of_distribution; no rows unless asked for.
    refusals: see pipeline.evaluation.refusals. look_alikes: see pipeline.evaluation.look_alikes.
    heat_maps: float16 (n, rows, columns), for the first n rows of `pick_mistakes`; none for families without convolutions.
    augmented: uint8 (images, versions, size, size, 3), the first version unchanged; none for families that do not augment.
    contract: the model's; None in evaluations by older versions."""

    metrics: Metrics
    classes: pd.DataFrame
    classes_train: pd.DataFrame
    confusion: pd.DataFrame
    predictions: pd.DataFrame
    val_predictions: pd.DataFrame
    train_predictions: pd.DataFrame
    curves: pd.DataFrame
    roc: pd.DataFrame
    pr: pd.DataFrame
    reliability: pd.DataFrame
    layers: pd.DataFrame
    outside: pd.DataFrame
    refusals: pd.DataFrame
    look_alikes: pd.DataFrame
    heat_maps: np.ndarray
    augmented: np.ndarray
    contract: Contract | None = None


_TABLES = tuple(field.name for field in fields(Results) if field.type is pd.DataFrame)
_ARRAYS = tuple(field.name for field in fields(Results) if field.type is np.ndarray)


def save_results(family: str, results: Results) -> None:
    """Writes data/evaluations/<family>/ for the report and metrics/<family>/ for people."""
    metrics = results.metrics
    calibration = {"temperature": metrics["temperature"], "model_sha256": metrics["model_sha256"]}
    with folder_aside(EVALUATIONS / family) as folder:
        (folder / "metrics.json").write_text(json.dumps(results.metrics, indent=1) + "\n")
        (folder / "calibration.json").write_text(json.dumps(calibration, indent=1) + "\n")
        if results.contract is not None:
            (folder / CONTRACT_FILE).write_text(dump_contract(results.contract), encoding="utf-8")
        for name in _TABLES:
            save_table(getattr(results, name), folder / f"{name}.csv")
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(results, name))
    for name in _PUBLISHED:
        with write_aside(METRICS / family / name) as partial:
            shutil.copyfile(EVALUATIONS / family / name, partial)
    save_table(make_drawable(results.confusion), METRICS / family / "confusion.csv")


def load_results(family: str, folder: Path = EVALUATIONS) -> Results:
    """What `save_results` wrote. Class names remain text, whatever they look like."""
    contract = folder / family / CONTRACT_FILE
    content: dict[str, Any] = {name: load_table(folder / family / f"{name}.csv") for name in _TABLES}
    content |= {name: np.load(folder / family / f"{name}.npy") for name in _ARRAYS}
    try:
        content["contract"] = parse_contract(contract.read_bytes()) if contract.exists() else None
    except ValueError as error:
        raise PipelineError(f"{contract} is damaged ({error}): run `dvc repro -f evaluate@{family}`") from error
    return Results(metrics=json.loads((folder / family / "metrics.json").read_text()), **content)


def load_table(file: Path) -> pd.DataFrame:
    """A table with names as text, even NA or 007, and empty numbers as missing values."""
    columns = pd.read_csv(file, nrows=0).columns
    numbers = {name: [""] for name in columns if name.startswith(_NUMBERS)}
    text = {name: kind for name, kind in _TEXT.items() if name in columns}
    return read_table(file, dtype=text, keep_default_na=False, na_values=numbers)


def check_evaluations(results: Mapping[str, Results], facts: DatasetFacts, folder: Path = MODELS) -> None:
    """Raises PipelineError, one line, for evaluations that can't stand side by side: measured on other data than `facts`
    describes, or of another model than the one that is there. A model that is not there, as where only results were pulled, is
    no fault. results: by family."""
    for family, result in results.items():
        file, remedy = folder / f"{family}.keras", f"run `dvc repro evaluate@{family}`"
        data = result.contract.data if result.contract else ""
        if data != facts.digest:
            raise PipelineError(f"{EVALUATIONS / family} was measured on other data than {TFRECORDS} has: {remedy}")
        if file.exists() and compute_sha256(file) != result.metrics["model_sha256"]:
            raise PipelineError(f"{EVALUATIONS / family} was measured on another model than {file}: {remedy}")


def describe_model(model: Any, artifact: Path, record: Path, *, mirrored: bool) -> ModelFacts:
    """model: from Keras. artifact: its file. record: dvclive's folder. mirrored: whether it averages mirror images."""
    recorded = json.loads((record / "metrics.json").read_text())
    facts: ModelFacts = {
        "parameters": model.count_params(),
        "trainable_parameters": sum(int(weight.shape.num_elements()) for weight in model.trainable_weights),
        "model_bytes": artifact.stat().st_size,
        "best_epoch": recorded["best"].get("epoch"),
        "model_sha256": compute_sha256(artifact),
        "tta": "flip" if mirrored else "none",
    }
    return facts | {"given_up": recorded["given_up"]} if "given_up" in recorded else facts


def pick_mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """The `count` most confident mistakes of a prediction table, most confident first; ties in the order of the table."""
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    return wrong.sort_values("confidence", ascending=False, kind="stable").head(count)


def load_curves(record: Path) -> pd.DataFrame:
    """split, epoch, accuracy, loss from a dvclive folder."""
    parts = []
    for split, name in (("train", "train"), ("val", "eval")):
        lines = record / "plots" / "metrics" / name
        accuracy, loss = (pd.read_csv(lines / f"{metric}.tsv", sep="\t") for metric in ("accuracy", "loss"))
        both = accuracy.merge(loss, on="step")
        parts.append(both.assign(split=split, epoch=both["step"] + 1))
    return pd.concat(parts)[["split", "epoch", "accuracy", "loss"]].round(6)


def remove_leftovers(families: list[str], folders: Sequence[Path] = (EVALUATIONS, EXPORTED)) -> None:
    """Deletes results and exports of families that are not in `families`: DVC leaves them, and they would change the folder's
    hash. A folder that is not there has none."""
    for folder in folders:
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in families:
                remove(path)
