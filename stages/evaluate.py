"""Measures one family on train, val and test: figures, tables, calibration, every prediction, where it looks, what it costs.

A backbone that has not been fine-tuned takes its features from the cache; some test images also go through the whole model,
from pixels, which must say the same. The temperature is fitted on val; nothing is ever chosen on test.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.config.families import FAMILIES, check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_augment
from pipeline.config.sections import Params
from pipeline.data.embeddings import load_embeddings
from pipeline.data.image_files import decode_as_trained
from pipeline.data.tfrecords import DatasetFacts, load_dataset_facts
from pipeline.evaluation.calibration import (
    apply_temperature,
    compute_calibration,
    fit_temperature,
    make_reliability_table,
)
from pipeline.evaluation.intervals import compute_accuracy_interval, compute_bootstrap_intervals
from pipeline.evaluation.latency import measure_rate, read_peak_memory
from pipeline.evaluation.metrics import (
    compute_classification_metrics,
    compute_figures,
    judge_fit,
    make_class_table,
    make_confusion_table,
    make_prediction_table,
)
from pipeline.evaluation.results import Results, compute_digest, load_curves, pick_mistakes, save_results
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.paths import METRICS, MODELS, OUTSIDE
from pipeline.runtime.tensorflow import configure_tensorflow

if TYPE_CHECKING:
    import keras

    from pipeline.models.inference import Apply

_HEAT_MAPS = 12  # mistakes for which a heat map is made
_SAMPLES, _VERSIONS = 5, 4  # images, and changed versions of each, for a look at augmentation


def evaluate(family: str) -> None:
    params = load_params()
    check_family(family)
    configure_tensorflow(onednn=params.runtime.onednn)
    from pipeline.data.batches import read_names
    from pipeline.evaluation.layer_table import make_layer_table
    from pipeline.models.artifacts import load_model
    from pipeline.models.inference import freeze

    artifact, record = MODELS / f"{family}.keras", METRICS / family / "train"
    model, facts = load_model(artifact), load_dataset_facts()
    class_names = facts.class_names
    apply = freeze(model)
    predicted = predict_splits(family, model, apply, artifact)
    figures: dict[str, Any] = {}
    for split, (labels, probabilities) in predicted.items():
        figures |= {f"{split}_{name}": value for name, value in compute_figures(labels, probabilities).items()}
    (labels, probabilities), (val_labels, val_probabilities) = predicted["test"], predicted["val"]
    confusion = make_confusion_table(labels, probabilities.argmax(axis=1), class_names)
    temperature = fit_temperature(val_labels, val_probabilities)
    calibrated = apply_temperature(probabilities, temperature)
    figures |= {f"test_{name}": value for name, value in compute_classification_metrics(labels, probabilities).items()}
    figures |= compute_intervals(labels, probabilities, confusion)
    figures |= compute_calibration_metrics(labels, probabilities, calibrated) | {"temperature": temperature}
    figures |= {
        "verdict": judge_fit(figures["train_accuracy"], figures["val_accuracy"], len(class_names)),
        "parameters": model.count_params(),
        "trainable_parameters": count_trainable(model),
        "model_bytes": artifact.stat().st_size,
        "best_epoch": json.loads((record / "metrics.json").read_text())["best"].get("epoch"),
        "model_sha256": compute_digest(artifact),
    }
    predictions = make_prediction_table(*read_names("test"), labels, probabilities, class_names)
    results = Results(
        figures=figures,
        classes=make_class_table(labels, probabilities, class_names),
        confusion=confusion,
        predictions=predictions,
        val_predictions=make_prediction_table(*read_names("val"), val_labels, val_probabilities, class_names),
        curves=load_curves(record),
        roc=make_roc_table(labels, probabilities, class_names),
        pr=make_pr_table(labels, probabilities, class_names),
        reliability=pd.concat(
            [
                make_reliability_table(labels, probabilities).assign(state="before"),
                make_reliability_table(labels, calibrated).assign(state="after"),
            ]
        ),
        layers=make_layer_table(model),
        outside=judge_outside(model, params, facts, temperature),
        heat_maps=explain_mistakes(model, predictions, class_names),
        augmented=draw_versions(family, params, facts),
    )
    save_results(family, results)
    measure_costs(family, apply, artifact, facts.image_size)
    print(f"{family}: test accuracy {figures['test_accuracy']:.4f}, train {figures['train_accuracy']:.4f}")


def predict_splits(
    family: str, model: "keras.Model", apply: "Apply", artifact: Path
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split to (labels, probabilities), for train, val and test."""
    from pipeline.models.predictions import check_agreement, predict
    from pipeline.runtime.timings import record_seconds

    embeddings = load_embeddings(family) if FAMILIES[family].backbone else None
    predicted = {}
    for split in ("train", "val", "test"):
        with record_seconds(f"evaluate_{split}_seconds", family, artifact):
            predicted[split] = predict(model, split, embeddings, apply)
    if embeddings is not None:
        check_agreement(family, apply, "test", predicted["test"][1])
    return predicted


def compute_intervals(labels: np.ndarray, probabilities: np.ndarray, confusion: pd.DataFrame) -> dict[str, float]:
    """test_<figure>_low and _high: 95 % intervals of accuracy, macro F1 and balanced accuracy."""
    num_classes = probabilities.shape[1]
    matrix = confusion["images"].to_numpy().reshape(num_classes, num_classes)
    intervals = {"accuracy": compute_accuracy_interval(int(np.trace(matrix)), len(labels))}
    intervals |= compute_bootstrap_intervals(matrix)
    return {
        f"test_{name}_{end}": value
        for name, interval in intervals.items()
        for end, value in zip(("low", "high"), interval, strict=True)
    }


def compute_calibration_metrics(
    labels: np.ndarray, probabilities: np.ndarray, calibrated: np.ndarray
) -> dict[str, float]:
    """ece, brier and loss on test images, before and after calibration."""
    before, after = compute_calibration(labels, probabilities), compute_calibration(labels, calibrated)
    after["loss"] = compute_figures(labels, calibrated)["loss"]
    return {f"test_{name}": value for name, value in before.items()} | {
        f"test_{name}_calibrated": value for name, value in after.items()
    }


def judge_outside(model: "keras.Model", params: Params, facts: DatasetFacts, temperature: float) -> pd.DataFrame:
    """What the model makes of the pictures in evaluate.outside_path; an empty table where that is null."""
    from pipeline.evaluation.out_of_distribution import judge_pictures, make_empty_table

    if params.evaluate.outside_path is None:
        return make_empty_table(facts.class_names)
    decoding = decode_as_trained(facts, params.prune)
    return judge_pictures(model, OUTSIDE, decoding=decoding, class_names=facts.class_names, temperature=temperature)


def explain_mistakes(model: "keras.Model", predictions: pd.DataFrame, class_names: list[str]) -> np.ndarray:
    """Heat maps of what the model named in its most confident mistakes, float16 (n, rows, columns)."""
    from pipeline.data.batches import read_images
    from pipeline.evaluation.gradcam import compute_heat_maps

    mistakes = pick_mistakes(predictions, _HEAT_MAPS)
    none = np.zeros((0, 1, 1), np.float16)
    if mistakes.empty:
        return none
    images = read_images("test", mistakes.index.to_list())
    named = mistakes["predicted"].map({name: number for number, name in enumerate(class_names)}).to_numpy()
    heat = compute_heat_maps(model, images, named)
    return none if heat is None else heat.astype(np.float16)


def draw_versions(family: str, params: Params, facts: DatasetFacts) -> np.ndarray:
    """The first training images as they are and as training sees them, uint8 (images, 1 + versions, size, size, 3).

    Of a network, in its first epochs; of a frozen backbone, its first views. None for a family that changes nothing.
    """
    from pipeline.data.augmentation import Augmentation, augment_batch, draw_numbers
    from pipeline.data.batches import read_images

    size, own = facts.image_size, params.recipes[family].augment
    augmentation = Augmentation(**resolve_augment(params.train, own).model_dump()) if own else Augmentation()
    if not augmentation.is_active:
        return np.zeros((0, 1, size, size, 3), np.uint8)
    num_images = facts.num_images["train"]
    rows = list(range(min(_SAMPLES, num_images)))
    images = read_images("train", rows)
    if FAMILIES[family].backbone:
        seed, epochs = params.embed.seed, range(1, min(params.embed.views, _VERSIONS) + 1)
    else:
        seed, epochs = params.train.seed, range(_VERSIONS)
    versions = [images.astype(np.float32)]
    for epoch in epochs:
        numbers = draw_numbers(num_images, seed=seed, epoch=epoch)[: len(rows)]
        versions.append(augment_batch(images, numbers, augmentation).numpy())
    return np.stack(versions, axis=1).round().clip(0, 255).astype(np.uint8)


def measure_costs(family: str, apply: "Apply", artifact: Path, image_size: int) -> None:
    """Speed and memory of using the model, among the clock readings, which nothing hashes."""
    from pipeline.runtime.timings import record_readings

    rates = {f"images_per_second_{n}": measure_rate(apply, image_size, n) for n in (1, 32)}
    record_readings(family, artifact, rates | {"evaluate_peak_mb": read_peak_memory()})


def count_trainable(model: Any) -> int:
    """Weights that training changes."""
    return sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)


if __name__ == "__main__":
    run_family_verb(evaluate, __doc__)
