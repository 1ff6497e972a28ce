"""Backbones without ImageNet's weights, built once for all tests."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.models.backbones.loader import build_backbone
from tests.pipeline.models.networks import build_once


@pytest.fixture
def network(tensorflow) -> Iterator[Callable[[str], Any]]:  # noqa: ARG001 - must be configured before Keras runs
    """One of the shared networks, frozen again afterwards."""
    lent = []

    def lend(name: str) -> Any:
        lent.append(build_once(name))
        return lent[-1]

    yield lend
    for model in lent:
        model.trainable = True  # all layers, whatever each was set to
        model.trainable = False


@pytest.fixture(scope="session")
def trained(tensorflow) -> Any:  # noqa: ARG001 - must be configured before Keras runs
    """A mobilenet with weights that no other has."""
    model = build_backbone("mobilenet", 32)
    generator = np.random.default_rng(0)
    model.set_weights([generator.random(weights.shape, np.float32) for weights in model.get_weights()])
    return model


@pytest.fixture(scope="session")
def published_file(trained, tmp_path_factory) -> bytes:
    """Its weights in the old format, in which Keras publishes them."""
    from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5

    file = tmp_path_factory.mktemp("published") / "net.h5"
    save_model_to_hdf5(trained, str(file))
    return file.read_bytes()
