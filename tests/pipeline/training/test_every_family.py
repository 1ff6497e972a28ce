"""Each family is embedded, trained for an epoch or a few on a few images, saved and loaded, by the real verbs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.families import FAMILIES, PRESETS
from pipeline.config.reader import load_params
from pipeline.config.recipe_sections import TransferRecipe
from tests.code_digests import write_code
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

HEAVY = {  # they take seconds to build and to trace, each
    name for name, family in FAMILIES.items() if family.backbone not in (None, "mobilenet", "efficientnet_lite0")
}
# Others of its kind differ in how they are built, which tests/pipeline/models checks for each; one of each other kind
# goes the same way in tests/test_pipeline.py.
ALWAYS = ("optimized",)
MARKS = {True: pytest.mark.slow, False: pytest.mark.ci}


@pytest.fixture
def small(project, monkeypatch) -> Path:
    """Images that show their class by their colour, in a project that trains briefly and downloads nothing."""
    names = ["red", "green", "blue"]
    splits = {
        split: make_coloured_split(count, 32, seed=count) for split, count in (("train", 24), ("val", 9), ("test", 6))
    }
    write_records(class_names=names, **splits)
    published = load_params().recipes
    # A quarter of the filters: how many a family has is checked where models are built.
    changes: dict[str, Any] = {"train__epochs": 2, "train__width": 0.25, "train__batch_size": 8}
    for family, recipe in published.items():
        if recipe.backbone:
            changes[f"recipes__{family}__input_size"] = max(32, FAMILIES[family].min_image_size)
            weights = "imagenet" if "lite0" in family else "none"
            changes[f"recipes__{family}__backbone__weights"] = weights
        if isinstance(recipe, TransferRecipe):
            changes[f"recipes__{family}__fine_tune__epochs"] = min(1, recipe.fine_tune.epochs)
    project.set(**changes)
    write_code("embed", *FAMILIES)
    for verb in ("embed", "train"):  # TensorFlow is configured already
        monkeypatch.setattr(f"stages.{verb}.configure_tensorflow", lambda **_: None)
    return project.folder


@pytest.fixture
def tuned_datasets(monkeypatch) -> list[Any]:
    """Those that were iterated over although TensorFlow would tune them, the end of which may take as long again."""
    from tensorflow.python.data.ops.iterator_ops import OwnedIterator

    tuned: list[Any] = []
    begin = OwnedIterator.__init__

    def note(self: Any, dataset: Any = None, *args: Any, **settings: Any) -> None:
        if dataset is not None and dataset.options().autotune.enabled is not False:
            tuned.append(dataset)
        begin(self, dataset, *args, **settings)

    monkeypatch.setattr(OwnedIterator, "__init__", note)
    return tuned


@pytest.mark.ci
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=[] if name in ALWAYS else [MARKS[name in HEAVY]])
        for name, family in FAMILIES.items()
        if family.backbone not in PRESETS  # which take an extra: tests/pipeline/models/backbones/test_hub.py
    ],
)
def test_it_trains_and_is_saved_and_loaded(small, family, tuned_datasets):
    from pipeline.models.artifacts import load_model
    from pipeline.models.predictions import predict_split
    from stages.embed import embed
    from stages.train import train

    embed(family)
    train(family)
    record = json.loads((small / "metrics" / family / "train" / "metrics.json").read_text())
    assert np.isfinite(record["train"]["loss"])
    model = load_model(small / "models" / f"{family}.keras")
    labels, probabilities = predict_split(model, "test")
    assert not tuned_datasets
    assert len(labels) == 6
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    if FAMILIES[family].kind == "network":
        labels, probabilities = predict_split(model, "val")
        assert np.mean(probabilities.argmax(axis=1) == labels) == pytest.approx(record["best"]["val_accuracy"])
    if FAMILIES[family].kind != "linear":
        steps = (small / "metrics" / family / "train" / "plots" / "metrics" / "train" / "loss.tsv").read_text()
        tuned, is_fresh = family.endswith("_fine_tuned"), family == "inceptionv3_fine_tuned"
        epochs = (0 if is_fresh else 2) + (1 if tuned else 0)
        assert len(steps.splitlines()) == 1 + epochs
