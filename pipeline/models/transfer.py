"""Families on a backbone: its pooled features, and a new head or a linear support-vector machine on them. Imports Keras."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from pipeline.models.backbones.blocks import tap_blocks
from pipeline.models.backbones.loader import build_backbone, load_backbone
from pipeline.models.layers import POOLED_LAST, dense, make_dropout, make_input, resize, scale_filters, softmax_head
from pipeline.models.voting import voting_head

STANDARDIZE = "standardize"  # of the layer that does
_EPSILON = 1e-12  # added to variances, of which none is that small


def make_feature_model(
    name: str, backbone: keras.Model, *, image_size: int, input_size: int, features: Sequence[int] = ()
) -> keras.Model:
    """Pixels to pooled features: RGB 0–255, (batch, image_size, image_size, 3), to float32 (batch, features).

    features: blocks, from the start, whose pooled outputs come before those of the whole backbone.
    """
    inputs = make_input(image_size)
    return keras.Model(inputs, _extract(inputs, name, backbone, input_size, features), name=f"{name}_features")


def _extract(
    x: keras.KerasTensor, name: str, backbone: keras.Model, input_size: int, blocks: Sequence[int]
) -> keras.KerasTensor:
    # training=False: batch normalization keeps ImageNet's statistics, also while its weights are fine-tuned.
    declared = load_backbone(name)
    maps = tap_blocks(name, declared, backbone, blocks)(declared.scale(resize(x, input_size)), training=False)
    if not blocks:
        return layers.GlobalAveragePooling2D(name="features")(maps)
    last, *earlier = maps
    pooled = [layers.GlobalAveragePooling2D(name=f"pooled_{n}")(x) for n, x in zip(blocks, earlier, strict=True)]
    return layers.Concatenate(name="features")([*pooled, layers.GlobalAveragePooling2D(name=POOLED_LAST)(last)])


def add_head(
    features: keras.KerasTensor,
    *,
    num_classes: int,
    head_units: int,
    dropout: float,
    l2: float,
    width: float,
    standardize: bool = False,
) -> keras.KerasTensor:
    """Pooled features to probabilities: a dense layer of head_units × width units unless head_units is 0, dropout, softmax.

    standardize: to mean 0 and variance 1 first, once `set_statistics` has told which they have.
    """
    if standardize:
        # Not Keras' Normalization: it copies its numbers into what is compiled, and a head is compiled once for several folds.
        norm = layers.BatchNormalization(center=False, scale=False, epsilon=_EPSILON, trainable=False, name=STANDARDIZE)
        features = norm(features, training=False)
    if head_units:
        features = dense(features, scale_filters(head_units, width), l2=l2, name="hidden")
    return softmax_head(make_dropout(dropout)(features), num_classes)


def set_statistics(model: keras.Model, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Of the features that a head, or a model with one, standardizes. mean, deviation: float64 (features,)."""
    model.get_layer(STANDARDIZE).set_weights([mean, np.square(deviation)])


def build_head(
    name: str,
    num_features: int,
    *,
    num_classes: int,
    head_units: int,
    dropout: float,
    l2: float,
    width: float,
    standardize: bool = False,
) -> keras.Model:
    """`add_head` as a model, which trains on cached features, float32 (batch, num_features). name: of the backbone."""
    inputs = keras.Input((num_features,), name="features")
    outputs = add_head(
        inputs,
        num_classes=num_classes,
        head_units=head_units,
        dropout=dropout,
        l2=l2,
        width=width,
        standardize=standardize,
    )
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
    features: Sequence[int],
    standardize: bool,
    input_size: int | None = None,
    weights: str = "none",
    preset: str | None = None,
    network: keras.Model | None = None,
) -> keras.Model:
    """The whole model: pixels, resizing to input_size, preprocessing, frozen backbone, global average pooling, head.

    backbone: a name in BACKBONES. head_units, dropout, l2, width, standardize: of the head, see `add_head`; a backbone's own
    filters are fixed. features: blocks of the backbone, from the start, whose outputs the head sees too, pooled.
    input_size: pixels, each side; None: image_size. weights, preset: see `build_backbone`. network: a backbone that is built
    already, to be used instead.
    """
    size = input_size or image_size
    network = network if network is not None else build_backbone(backbone, size, weights, preset=preset)
    inputs = make_input(image_size)
    pooled = _extract(inputs, backbone, network, size, features)
    outputs = add_head(
        pooled,
        num_classes=num_classes,
        head_units=head_units,
        dropout=dropout,
        l2=l2,
        width=width,
        standardize=standardize,
    )
    return keras.Model(inputs, outputs, name=backbone)


def build_transfer_svm(
    *,
    backbone: str,
    image_size: int,
    num_classes: int,
    features: Sequence[int],
    input_size: int | None = None,
    weights: str = "none",
    preset: str | None = None,
    network: keras.Model | None = None,
    solver: str = "fast",
) -> keras.Model:
    """A backbone, global average pooling, one weight per feature and class, softmax; see `build_transfer`. solver svc: one per
    feature and pair of classes, and their votes. The scales by which features are standardized are part of these weights.

    pipeline.training.svm trains the linear support-vector machine; this model holds its hyperplanes.
    """
    size = input_size or image_size
    network = network if network is not None else build_backbone(backbone, size, weights, preset=preset)
    inputs = make_input(image_size)
    head = voting_head if solver == "svc" else softmax_head
    outputs = head(_extract(inputs, backbone, network, size, features), num_classes)
    return keras.Model(inputs, outputs, name=backbone)
