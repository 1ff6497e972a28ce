import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.familiarity import fit_directions, fit_familiarity
from pipeline.models.build import build_model
from pipeline.models.contract import Contract
from pipeline.runtime.errors import PipelineError
from tests.tfrecords import make_noise, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, COUNTS = 8, {"train": 40, "val": 9, "test": 5}
SPLITS = {name: (make_noise(count, SIZE, seed=count), np.arange(count) * 2 % 3) for name, count in COUNTS.items()}
ARTIFACT = Path("model.keras")


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_records(class_names=["cat", "dog", "emu"], **SPLITS)
    ARTIFACT.write_bytes(b"weights")
    return build_model("linear_svm", image_size=SIZE, num_classes=3)


def predict(family: str, model, **changes):
    from pipeline.evaluation.probabilities import predict_splits

    return predict_splits(family, model, make_contract(family, **changes), ARTIFACT)


def make_contract(family: str, **changes) -> Contract:
    content = {"family": family, "class_names": ["cat", "dog", "emu"], "image_size": SIZE, "resize": "stretch"}
    content |= {"range": "auto", "temperature": 1.0, "data": "d" * 64, "settings": "s" * 64}
    return Contract.model_validate(content | changes)


def test_every_image_of_every_split_has_a_label_and_the_models_probabilities(model):
    predicted, outputs, _ = predict("linear_svm", model)
    assert list(predicted) == list(outputs) == ["train", "val", "test"]
    for split, (labels, probabilities) in predicted.items():
        np.testing.assert_array_equal(labels, SPLITS[split][1])
        np.testing.assert_allclose(probabilities, model(SPLITS[split][0]).numpy(), atol=1e-6)
        assert outputs[split].distances is None


@pytest.mark.parametrize("by_distance", [True, False])
def test_distances_are_beside_the_same_probabilities_whichever_score_is_used(model, by_distance):
    pixels = SPLITS["train"][0].reshape(COUNTS["train"], -1)
    directions = fit_directions(pixels.astype(np.float64), SPLITS["train"][1], 3)
    familiarity = fit_familiarity(np.ones(9), directions, by_distance=by_distance)
    predicted, outputs, apply = predict("linear_svm", model, familiarity=familiarity.model_dump())
    for split, (images, _) in SPLITS.items():
        both = apply(images)
        np.testing.assert_array_equal(outputs[split].probabilities, predicted[split][1])
        np.testing.assert_allclose(outputs[split].probabilities, model(images).numpy(), atol=1e-6)
        np.testing.assert_allclose(outputs[split].distances, both[:, 3], rtol=1e-3)
        assert outputs[split].distances.std() > 0


def test_the_seconds_of_each_split_are_recorded_with_the_model(model):
    predict("linear_svm", model)
    readings = json.loads(Path("metrics/linear_svm/timings.json").read_text())
    assert readings.keys() == {"model", *(f"evaluate_{split}_seconds" for split in COUNTS)}


@pytest.mark.parametrize(("error", "is_refused"), [(0.0, False), (0.005, False), (0.02, True)])
def test_cached_features_must_agree_with_the_whole_model(model, monkeypatch, error, is_refused):
    def predict_from_features(_, split, embeddings, __):
        assert embeddings == "features of mobilenet_svm"
        probabilities = model(SPLITS[split][0]).numpy()
        probabilities[0, 0] += error
        return SPLITS[split][1], probabilities

    from pipeline.evaluation import probabilities as module

    monkeypatch.setattr(module, "find_embeddings", lambda family: f"features of {family}")
    monkeypatch.setattr(module, "predict", predict_from_features)
    if not is_refused:
        assert len(predict("mobilenet_svm", model)[0]["test"][0]) == COUNTS["test"]
        return
    with pytest.raises(PipelineError) as caught:
        predict("mobilenet_svm", model)
    assert str(caught.value).startswith("mobilenet_svm: its probabilities from pixels and from cached features differ")
    assert str(caught.value).endswith("run `dvc repro -f embed@mobilenet_svm`")
