"""Measures one family on train, val and test: figures, per-class table, confusion matrix and every test prediction.

The test split always goes through the whole model, from pixels. Train and val take a backbone's features from the cache,
if it has not been fine-tuned.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from stages.cli import run_family_verb
from stages.dataset.embeddings import load_embeddings
from stages.dataset.records import load_dataset_facts
from stages.evaluation.metrics import compute_figures, make_class_table, make_confusion_table, make_prediction_table
from stages.evaluation.results import METRICS, Results, load_curves, save_results
from stages.families import FAMILIES, check_family
from stages.params import load_params
from stages.runtime import configure_tensorflow

MODELS = Path("models")


def evaluate(family: str) -> None:
    params = load_params()
    check_family(family)
    configure_tensorflow(onednn=params.runtime.onednn)
    from stages.dataset.batches import read_names
    from stages.evaluation.predictions import predict_embedded, predict_split, was_made_by
    from stages.training.artifacts import load_model
    from stages.training.timings import record_seconds

    artifact, record = MODELS / f"{family}.keras", METRICS / family / "train"
    model, class_names = load_model(artifact), load_dataset_facts()["class_names"]
    embeddings = load_embeddings(family) if FAMILIES[family].backbone else None
    cached = ("train", "val") if embeddings and was_made_by(model, embeddings) else ()
    figures: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        with record_seconds(f"evaluate_{split}_seconds", family, artifact):
            if embeddings and split in cached:
                labels, probabilities = predict_embedded(model, embeddings, split)
            else:
                labels, probabilities = predict_split(model, split)
        figures |= {f"{split}_{name}": value for name, value in compute_figures(labels, probabilities).items()}
    predicted = probabilities.argmax(axis=1)  # of the test split, the last one
    best = json.loads((record / "metrics.json").read_text())["best"]
    counts = {"parameters": model.count_params(), "trainable_parameters": count_trainable(model)}
    results = Results(
        figures=figures | counts | {"best_epoch": best.get("epoch"), "model_sha256": compute_digest(artifact)},
        classes=make_class_table(labels, predicted, class_names),
        confusion=make_confusion_table(labels, predicted, class_names),
        predictions=make_prediction_table(*read_names("test"), labels, probabilities, class_names),
        curves=load_curves(record),
    )
    save_results(family, results)
    print(f"{family}: test accuracy {figures['test_accuracy']:.4f}, train {figures['train_accuracy']:.4f}")


def compute_digest(artifact: Path) -> str:
    """Which model the figures are of: the SHA-256 of its file, 64 hex digits."""
    with artifact.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_trainable(model: Any) -> int:
    """Weights that training changes."""
    return sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)


if __name__ == "__main__":
    run_family_verb(evaluate, __doc__)
