import itertools
import math

import numpy as np
import pytest

from pipeline.data.embeddings import MIRROR, EmbeddingFacts, Embeddings, EmbeddingWriter
from tests.pipeline.models.networks import noise
from tests.pipeline.models.networks import predict as apply
from tests.tfrecords import write_records

pytestmark = [pytest.mark.ci, pytest.mark.usefixtures("tensorflow")]

_ROUNDING = 0.03  # of float16, after eight blocks that have not been trained, and scaled up
CUT, COUNTS = 5, {"train": 300, "val": 9, "test": 4}  # more images than go through it at a time


@pytest.fixture(scope="module")
def settled(tensorflow):  # noqa: ARG001 - configures it
    """An untrained mobilenet with statistics of its own activations: with others, images would hardly differ at its end."""
    import keras

    from pipeline.models.backbones.loader import build_backbone

    keras.utils.set_random_seed(0)
    network = build_backbone("mobilenet", 32)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network.trainable = True
    network(noise(COUNTS["val"]), training=True)
    network.trainable = False
    return network


@pytest.fixture(params=[[2, 5, 9], [], [2], [9]], ids=str)
def made(request, settled, tmp_path, monkeypatch):
    """A model that was trained from the cut on, and what was kept there before."""
    import keras

    from pipeline.models.tail import make_extractor
    from pipeline.models.transfer import build_transfer

    monkeypatch.chdir(tmp_path)
    labels = {split: np.arange(count) % 3 for split, count in COUNTS.items()}
    images = {split: np.resize(noise(9).astype(np.uint8), (n, 32, 32, 3)) for split, n in COUNTS.items()}
    write_records(class_names=["a", "b", "c"], **{split: (images[split], labels[split]) for split in COUNTS})
    facts = EmbeddingFacts("mobilenet", "key", "before", 0, "float32", 0, COUNTS, request.param, CUT, mirrored=True)
    model, facts = make_extractor(settled, facts, image_size=32, input_size=32)
    writer, width = EmbeddingWriter(tmp_path, "float32"), math.prod(facts.cut_shape)
    for split, view in itertools.product(("train", "val"), (0, MIRROR)):
        values = apply(model, np.roll(images[split], 1, axis=0) if view == MIRROR else images[split])
        writer.write(split, view, [(values[:, : facts.num_features], labels[split])])
        activations = writer.open_cut(split, view, width)
        activations.add(values[:, facts.num_features :], len(values))
        activations.close()
    head = {"num_classes": 3, "head_units": 0, "dropout": 0.0, "l2": 0.0, "width": 1.0, "standardize": False}
    keras.utils.set_random_seed(0)
    whole = build_transfer(backbone="mobilenet", image_size=32, network=settled, features=request.param, **head)
    last = whole.layers[-1]
    logits = apply(keras.Model(whole.input, last.input), images["val"]) @ last.kernel.numpy()
    last.kernel.assign(last.kernel / logits.std(axis=0))  # so that answers to images differ
    last.bias.assign(-logits.mean(axis=0) / logits.std(axis=0))
    return whole, Embeddings(facts, tmp_path), images, labels


def test_it_is_what_the_whole_model_gives_from_pixels(made):
    from pipeline.models.predictions import predict

    model, embeddings, images, labels = made
    for split in COUNTS:  # of test, nothing is kept
        found, probabilities = predict(model, split, embeddings)
        np.testing.assert_array_equal(found, labels[split])
        np.testing.assert_allclose(probabilities, apply(model, images[split]), atol=_ROUNDING)
        assert probabilities.dtype == np.float32


def test_features_of_the_head_are_those_from_pixels(made):
    from pipeline.models.from_cut import extract_from_cut
    from pipeline.models.joint import make_extractor

    model, embeddings, images, _ = made
    extractor = make_extractor(model)
    found = extract_from_cut(model, extractor.output, embeddings, "train", 270)
    expected = apply(extractor, images["train"][:270])
    np.testing.assert_allclose(found, expected, atol=_ROUNDING * expected.std())
    assert expected.std(axis=0).max() > 10 * np.abs(found - expected).max(), "images differ by more than rounding"


def test_a_model_that_averages_mirror_images_takes_what_is_kept_as_such(made):
    """Another image is kept for the mirror image of each, so that it shows."""
    from pipeline.models.mirrors import average_mirrors
    from pipeline.models.predictions import predict

    model, embeddings, images, labels = made
    own, others = (apply(model, given) for given in (images["val"], np.roll(images["val"], 1, axis=0)))
    averaged = average_mirrors(model)
    found, probabilities = predict(averaged, "val", embeddings)
    np.testing.assert_array_equal(found, labels["val"])
    np.testing.assert_allclose(probabilities, (own + others) / 2, atol=_ROUNDING)
    assert np.abs(own - others).max() > 10 * _ROUNDING
    # Of test, nothing is kept.
    np.testing.assert_allclose(predict(averaged, "test", embeddings)[1], apply(averaged, images["test"]), atol=1e-3)


def test_it_reads_no_pixels_but_those_of_test(made, monkeypatch):
    from pipeline.models import predictions

    monkeypatch.setattr(predictions, "read_batches", lambda *_, **__: iter(()))
    model, embeddings, _, labels = made
    assert len(predictions.predict(model, "val", embeddings)[0]) == len(labels["val"])
    with pytest.raises(ValueError, match="at least one array"):
        predictions.predict(model, "test", embeddings)
