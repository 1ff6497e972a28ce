"""Training with numbers of 16 bits where they are faster, and in float32 where they matter. Imports Keras.

Mixed precision as in Micikevicius et al. 2018 (arXiv:1710.03740): weights stay float32, layers compute in 16 bits, the
probabilities and the loss are float32. Keras' own way is a policy under which a model is built, which its file would keep. Here
the layers have it only while they train: a model that is kept is the same network in float32, on any machine.
"""

from collections.abc import Iterator

import keras
import tensorflow as tf

from pipeline.runtime.errors import PipelineError

_PLAIN = "float32"


def lower(model: keras.Model, precision: str) -> None:
    """Lets all layers that compute in float32 compute as `precision` says, but for the last. With mixed_float16, `compile`
    afterwards scales the loss. precision: float32 | mixed_bfloat16 | mixed_float16. Raises PipelineError where this machine
    can't compute so."""
    if precision == _PLAIN:
        return
    _try(precision)
    last = _find_last(model)
    for layer in _find_layers(model):
        if layer is not last and layer.dtype_policy.name == _PLAIN:
            layer.dtype_policy = precision


def _try(precision: str) -> None:
    """A convolution: oneDNN has none of bfloat16 for a processor with AVX2 alone, and says so in the middle of training."""
    kind = precision.removeprefix("mixed_")
    image = tf.ones((1, 8, 8, 4), kind)
    try:
        tf.nn.conv2d(image, tf.ones((3, 3, 4, 4), kind), strides=1, padding="SAME")
    except tf.errors.OpError:
        raise PipelineError(
            f"runtime.precision {precision}: expected a GPU, or a processor with kernels for {kind} (on x86: AVX-512), "
            "received one that has none; set runtime.precision to float32"
        ) from None


def restore(model: keras.Model) -> None:
    """All layers as they were before `lower`. What was traced between keeps its precision."""
    for layer in _find_layers(model):
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = _PLAIN


def _find_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Also those inside of others, and the model itself, on whose policy the scaling of the loss depends."""
    return iter(model._flatten_layers(include_self=True))


def _find_last(model: keras.Model) -> keras.layers.Layer:
    """Whose output is the model's, inside of models in it."""
    last = model
    while isinstance(last, keras.Model):
        last = last.outputs[0]._keras_history.operation
    return last
