"""A backbone with a new head, and the parts of it. Imports Keras."""

import keras
from keras import layers

from pipeline.models.backbones import build_backbone, load_backbone
from pipeline.models.layers import dense, make_dropout, make_input, resize, scale_filters, softmax_head


def make_feature_model(name: str, backbone: keras.Model, *, image_size: int, input_size: int) -> keras.Model:
    """Pixels to pooled features: RGB 0–255, (batch, image_size, image_size, 3), to float32 (batch, features)."""
    inputs = make_input(image_size)
    return keras.Model(inputs, _extract(inputs, name, backbone, input_size), name=f"{name}_features")


def _extract(x: keras.KerasTensor, name: str, backbone: keras.Model, input_size: int) -> keras.KerasTensor:
    # training=False: batch normalization keeps ImageNet's statistics, also while its weights are fine-tuned.
    return layers.GlobalAveragePooling2D(name="features")(
        backbone(load_backbone(name).scale(resize(x, input_size)), training=False)
    )


def add_head(
    features: keras.KerasTensor,
    *,
    num_classes: int,
    head_units: int,
    dropout: float = 0.0,
    l2: float = 0.0,
    width: float = 1.0,
) -> keras.KerasTensor:
    """Pooled features to probabilities: a dense layer of `head_units` × width if there is one, dropout, softmax."""
    if head_units:
        features = dense(features, scale_filters(head_units, width), l2=l2, name="hidden")
    return softmax_head(make_dropout(dropout)(features), num_classes)


def build_head(name: str, num_features: int, **settings: float) -> keras.Model:
    """`add_head` on its own: what trains on cached features, float32 (batch, num_features)."""
    inputs = keras.Input((num_features,), name="features")
    return keras.Model(inputs, add_head(inputs, **_complete(name, settings)), name=f"{name}_head")


def build_transfer(
    *,
    backbone: str,
    image_size: int,
    num_classes: int,
    input_size: int | None = None,
    weights: str = "none",
    network: keras.Model | None = None,
    **settings: float,
) -> keras.Model:
    """The whole: pixels, resizing to input_size, preprocessing, frozen backbone, global average pooling, head.

    backbone: a name of BACKBONES. input_size: pixels; None = image_size. weights: see `build_backbone`. network: a
    backbone that is there already, instead. settings: head_units, dropout, l2, width, as `add_head` has them; the width is
    that of the head, as a backbone's filters are given.
    """
    size = input_size or image_size
    network = network if network is not None else build_backbone(backbone, size, weights)
    inputs = make_input(image_size)
    features = _extract(inputs, backbone, network, size)
    outputs = add_head(features, **_complete(backbone, settings | {"num_classes": num_classes}))
    return keras.Model(inputs, outputs, name=backbone)


def _complete(name: str, settings: dict[str, float]) -> dict:
    units = settings.get("head_units")
    return settings | {"head_units": load_backbone(name).head_units if units is None else units}
