"""A small project up to the report: everything that report reads, of families that guess."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data.tfrecords import Record, list_shards, load_dataset_facts, read_records
from pipeline.evaluation.metrics import make_prediction_table
from pipeline.evaluation.results import save_results
from pipeline.export.costs import Cost, find_file
from pipeline.export.parity import Parity
from pipeline.export.parity_table import save_parity
from pipeline.models.contract import make_contract
from pipeline.runtime.paths import EXPORTED
from stages.download import download
from stages.examine import examine
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split
from tests.clone import draw_pictures
from tests.conftest import Project
from tests.results import OUTSIDE, Split, guess, make_results

EVIL = "<img src=x onerror=document.title='pwned'>"
CLASS_NAMES = [EVIL, "NA", "cat"]
SIZE = 32
READINGS = {"images_per_second_1": 80.0, "images_per_second_32": 1234.0, "train_seconds": 4.5}


def guess_split(name: str, wrong: float) -> tuple[Split, pd.DataFrame]:
    """Labels and probabilities for the images of a split, and the table of predictions."""
    records: list[Record] = [record for file in list_shards(name) for record in read_records(file, SIZE)]
    labels = np.array([record.label for record in records])
    probabilities = guess(labels, len(CLASS_NAMES), wrong=wrong)
    ids, names = [record.image_id for record in records], [record.name for record in records]
    return (labels, probabilities), make_prediction_table(ids, names, labels, probabilities, CLASS_NAMES)


def evaluate(family: str, *, wrong: float, timed: bool) -> None:
    """Writes what evaluate writes, for a family that guesses."""
    (test, predictions), (val, val_predictions) = guess_split("test", wrong), guess_split("val", wrong)
    digest = family.encode().hex().ljust(64, "0")
    row = {"name": "cat/one.png", "label": "cat", "predicted": "NA", "confidence": 0.5, "distance": 1.5, "is_far": True}
    outside = pd.DataFrame([row | {"reason": ""}], columns=[*OUTSIDE, *(f"p:{name}" for name in CLASS_NAMES)])
    results = make_results(
        CLASS_NAMES,
        test,
        val,
        predictions=predictions,
        val_predictions=val_predictions,
        outside=outside,
        heat_maps=np.ones((2, 2, 2), np.float16),
        augmented=np.zeros((2, 3, SIZE, SIZE, 3), np.uint8),
        model_sha256=digest,
        model_bytes=2_500_000,
        contract=make_contract(family, load_dataset_facts(), temperature=1.0, settings={}),
    )
    save_results(family, results)
    if timed:
        Path("metrics", family, "timings.json").write_text(json.dumps(READINGS | {"model": digest}))


def export(family: str) -> None:
    """Writes what export writes of a family: a file that agrees, and one that was refused."""
    made: dict[str, Any] = {
        **{"file": "model.onnx", "bytes": 1_234_567, "images": 24, "agreement": 1.0, "disagreements": 0},
        **{
            "largest_difference": 3e-07,
            "accuracy": 0.75,
            "accuracy_low": 0.5,
            "accuracy_high": 0.9,
            "model_accuracy": 0.75,
        },
        **{"only_exported": 0, "only_model": 0, "p": 1.0},
    }
    refused = Parity(format="litert_int8", **made | {"accuracy": 0.5}).refuse("accuracy is 0.25 lower than the model's")
    folder = EXPORTED / family
    folder.mkdir(parents=True)
    kept = Parity(format="onnx", **made | {"distance_difference": 2e-05, "refusal_disagreements": 0})
    save_parity([kept, refused], folder)
    costs = [
        Cost(form, 1, load_seconds=0.5, median_1=time, p95_1=2 * time, median_32=64.0, p95_32=80.0, peak_mb=99.5)
        for form, time in (("keras", 12.0), ("onnx", 2.5))
    ]
    content = {"model": family.encode().hex().ljust(64, "0"), "costs": [asdict(cost) for cost in costs]}
    find_file(family).write_text(json.dumps(content))


def make_project(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Two families, one of them timed; one class has a tag for a name. Moves the test into the project."""
    (folder / "project").mkdir()
    draw_pictures(folder / "pictures", classes=CLASS_NAMES, count=40)
    draw_pictures(folder / "project/data/outside", classes=["cat"], count=1)
    (folder / "project/data/outside/cat/0.png").rename(folder / "project/data/outside/cat/one.png")
    patch.chdir(folder / "project")
    patch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)
    Project(folder / "project").set(
        families=["linear_svm", "underfit"],
        data__source="folder",
        data__path=str(folder / "pictures"),
        preprocess__image_size=SIZE,
        preprocess__num_workers=1,
    )
    for stage in (download, prune, split, preprocess, examine):
        stage()
    assert load_dataset_facts().class_names == CLASS_NAMES
    evaluate("linear_svm", wrong=0.3, timed=True)
    evaluate("underfit", wrong=0.6, timed=False)
