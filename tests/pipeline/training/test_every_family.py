"""Each family is trained for real, two epochs on a handful of pictures, saved, loaded, and gives the same probabilities."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.config.families import FAMILIES
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

HEAVY = {  # seconds to build and to trace, each
    name for name, family in FAMILIES.items() if family.backbone not in (None, "mobilenet", "efficientnet_lite0")
}


@pytest.fixture
def small(project, monkeypatch) -> Path:
    """Pictures whose colour tells their class, in a project that trains briefly and downloads nothing."""
    names = ["red", "green", "blue"]
    splits = {
        split: make_coloured_split(count, 32, seed=count) for split, count in (("train", 24), ("val", 9), ("test", 6))
    }
    write_records(class_names=names, **splits)
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    params["train"] |= {"epochs": 2, "width": None, "batch_size": 8}
    for name, recipe in params["recipes"].items():
        if recipe["backbone"]:
            recipe["input_size"] = max(32, FAMILIES[name].min_image_size)
            recipe["backbone"]["weights"] = "imagenet" if "lite0" in name else "none"
        if "fine_tune" in recipe:
            recipe["fine_tune"]["epochs"] = min(1, recipe["fine_tune"]["epochs"])
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params))
    for verb in ("embed", "train"):  # TensorFlow is there already
        monkeypatch.setattr(f"stages.{verb}.configure_tensorflow", lambda **_: None)
    return project.folder


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in FAMILIES]
)
def test_two_epochs_then_saved_and_loaded(small, family):
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
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    again = load_model(small / "models" / f"{family}.keras")
    np.testing.assert_allclose(predict_split(again, "test")[1], probabilities, atol=1e-6)
    assert len(labels) == 6
    if FAMILIES[family].kind != "linear":
        steps = (small / "metrics" / family / "train" / "plots" / "metrics" / "train" / "loss.tsv").read_text()
        epochs = 2 + (family == "inceptionv3")
        assert len(steps.splitlines()) == 1 + epochs
