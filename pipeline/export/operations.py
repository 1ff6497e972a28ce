"""Models made of operations that other programs have. Imports TensorFlow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import nn  # not public: a test notices a change

from pipeline.runtime.portable import plain_arithmetic


@contextmanager
def common_operations() -> Iterator[None]:
    """For tracing: plain arithmetic; for softsign, which LiteRT lacks, and ONNX Runtime in double precision, x / (1 + |x|)."""
    own = nn.softsign
    nn.softsign = lambda x: x / (1 + tf.abs(x))
    try:
        with plain_arithmetic():
            yield
    finally:
        nn.softsign = own


def make_single_precision(model: keras.Model) -> keras.Model:
    """The same model where all of it computes in float32, as LiteRT has no double precision; one that does so already as it is.

    Of the votes of one against one, a distance that is about 0 may be rounded to the other side: the gate tells.
    """
    if all(weight.dtype == "float32" for weight in model.weights):
        return model
    single = keras.models.model_from_json(json.dumps(_replace(json.loads(model.to_json()))))
    single.set_weights([weight.astype("float32") for weight in model.get_weights()])
    return single


def _replace(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _replace(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_replace(value) for value in part]
    return "float32" if part == "float64" else part
