"""Families on a backbone: its pooled features, and a new head or a linear support-vector machine on them. Imports Keras."""

import keras
from keras import layers

from pipeline.models.backbones.loader import build_backbone, load_backbone
from pipeline.models.layers import dense, make_dropout, make_input, resize, scale_filters, softmax_head
from pipeline.models.voting import voting_head


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
    features: keras.KerasTensor, *, num_classes: int, head_units: int, dropout: float, l2: float, width: float
) -> keras.KerasTensor:
    """Pooled features to probabilities: a dense layer of head_units × width units unless head_units is 0, dropout, softmax."""
    if head_units:
        features = dense(features, scale_filters(head_units, width), l2=l2, name="hidden")
    return softmax_head(make_dropout(dropout)(features), num_classes)


def build_head(
    name: str, num_features: int, *, num_classes: int, head_units: int, dropout: float, l2: float, width: float
) -> keras.Model:
    """`add_head` as a model, which trains on cached features, float32 (batch, num_features). name: of the backbone."""
    inputs = keras.Input((num_features,), name="features")
    outputs = add_head(inputs, num_classes=num_classes, head_units=head_units, dropout=dropout, l2=l2, width=width)
    return keras.Model(inputs, outputs, name=f"{name}_head")


def build_transfer(
    *,
    backbone: str,
    image_size: int,
    num_classes: int,
    head_units: int,
    dropout: float,
    l2: float,
    width: float,
    input_size: int | None = None,
    weights: str = "none",
    network: keras.Model | None = None,
) -> keras.Model:
    """The whole model: pixels, resizing to input_size, preprocessing, frozen backbone, global average pooling, head.

    backbone: a name in BACKBONES. head_units, dropout, l2, width: of the head, see `add_head`; a backbone's own filters are
    fixed. input_size: pixels, each side; None: image_size. weights: see `build_backbone`. network: a backbone that is built
    already, to be used instead.
    """
    size = input_size or image_size
    network = network if network is not None else build_backbone(backbone, size, weights)
    inputs = make_input(image_size)
    features = _extract(inputs, backbone, network, size)
    outputs = add_head(features, num_classes=num_classes, head_units=head_units, dropout=dropout, l2=l2, width=width)
    return keras.Model(inputs, outputs, name=backbone)


def build_transfer_svm(
    *,
    backbone: str,
    image_size: int,
    num_classes: int,
    input_size: int | None = None,
    weights: str = "none",
    network: keras.Model | None = None,
    solver: str = "fast",
) -> keras.Model:
    """A backbone, global average pooling, one weight per feature and class, softmax; see `build_transfer`. solver svc: one per
    feature and pair of classes, and their votes.

    pipeline.training.svm trains the linear support-vector machine; this model holds its hyperplanes.
    """
    size = input_size or image_size
    network = network if network is not None else build_backbone(backbone, size, weights)
    inputs = make_input(image_size)
    head = voting_head if solver == "svc" else softmax_head
    outputs = head(_extract(inputs, backbone, network, size), num_classes)
    return keras.Model(inputs, outputs, name=backbone)
