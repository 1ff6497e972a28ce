"""The layers that families are built from. Imports Keras."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

MAX_DROPOUT = 0.9
POOLED_LAST = "pooled_last"  # name of the layer that pools a backbone's output where a head sees other depths too


def make_input(image_size: int) -> keras.KerasTensor:
    """RGB images, (batch, image_size, image_size, 3), values 0 to 255."""
    return keras.Input((image_size, image_size, 3), name="image")


def resize(x: keras.KerasTensor, side: int) -> keras.KerasTensor:
    """Square images of `side` pixels: smaller ones are interpolated, larger ones averaged over the area of a pixel."""
    if x.shape[1] == side:
        return x
    return layers.Resizing(side, side, interpolation="bilinear", antialias=side < x.shape[1])(x)


def softmax_head(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    """Probabilities, (batch, num_classes)."""
    return layers.Dense(num_classes, activation="softmax", name="probabilities")(x)


def scale_filters(filters: int, width: float) -> int:
    """The number of filters times the width factor; at least one."""
    return max(1, round(filters * width))


def make_l2(weight: float) -> keras.Regularizer | None:
    """None at 0, so that the model has exactly the published layers."""
    return keras.regularizers.L2(weight) if weight else None


def make_dropout(rate: float) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    """No layer at all at rate 0, for the same reason."""
    return layers.Dropout(rate) if rate else (lambda x: x)


def spread_dropout(dropout: float, more: Sequence[float]) -> list[float]:
    """The rates of a network that drops more in some places: `dropout` plus each of `more`, within 0 to 0.9; all 0 if
    `dropout` is 0."""
    return [round(min(max(dropout + extra, 0.0), MAX_DROPOUT), 4) if dropout else 0.0 for extra in more]


def convolve(
    x: keras.KerasTensor,
    filters: int,
    *,
    kernel: int = 3,
    l2: float = 0.0,
    padding: str = "same",
    activation: str | None = "relu",
) -> keras.KerasTensor:
    """A convolution of kernel × kernel pixels."""
    return layers.Conv2D(filters, kernel, padding=padding, activation=activation, kernel_regularizer=make_l2(l2))(x)


def dense(x: keras.KerasTensor, units: int, *, l2: float = 0.0, name: str | None = None) -> keras.KerasTensor:
    """A dense layer with ReLU; no layer at 0 units."""
    return layers.Dense(units, activation="relu", kernel_regularizer=make_l2(l2), name=name)(x) if units else x


def unwrap(model: keras.Model) -> tuple[list[keras.Layer], keras.Model]:
    """The layers in front of a network that resizes first, and the network itself."""
    last = model.layers[-1]
    return (model.layers[1:-1], last) if isinstance(last, keras.Model) else ([], model)


def finalize_normalization(model: keras.Model) -> None:
    """After weights were set: a Normalization layer that learns computes with constants that it makes of its weights, by
    itself only when it is loaded from a file."""
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
