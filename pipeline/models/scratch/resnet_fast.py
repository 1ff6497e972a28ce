"""A network of no study, made to learn as much as it can in minutes: after airbench94 (Jordan 2024, arXiv:2404.00498) and, for
its shortcuts, the ResNet-9 of Page (2018, "How to train your ResNet"), both records on CIFAR-10."""

import keras
from keras import layers

from pipeline.models.layers import dense, make_dropout, make_input, make_l2, scale_filters, softmax_head
from pipeline.models.scratch.whitening import whiten

_GRID = 32  # pixels, each side, of what the groups see, about: larger images are scanned in larger steps
_WIDTHS = (64, 256, 256)
_MOMENTUM = 0.8  # of batch normalization's means: few steps, at a rate that changes them quickly
_LOGITS = 1 / 9  # factor, without which the first steps are too sure of themselves


def build_resnet_fast(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Whitened patches, then three groups of (convolution, pool, convolution with a shortcut); 1,973,954 parameters at 32 px
    and 10 classes.

    A patch is 2 × 2 pixels for images up to 47 px, and one pixel wider for each 32 px more; the step from patch to patch is a
    pixel less than its side. So the groups see about 31 × 31 places whatever the size (23 to 46): a step takes about as long.
    The first layer is for `set_whitening` to fill. dropout: before the last layer.
    """
    step = max(1, (image_size + _GRID // 2) // _GRID)
    inputs = make_input(image_size)
    x = layers.Activation("gelu")(whiten(inputs, size=step + 1, step=step))
    for filters in _WIDTHS:
        x = _convolve(x, scale_filters(filters, width), l2=l2, pool=True)
        x = layers.Add()([x, _convolve(x, scale_filters(filters, width), l2=l2)])
    x = layers.Rescaling(_LOGITS)(layers.GlobalMaxPooling2D()(x))
    x = make_dropout(dropout)(dense(x, head_units, l2=l2))
    return keras.Model(inputs, softmax_head(x, num_classes), name="resnet_fast")


def _convolve(x: keras.KerasTensor, filters: int, *, l2: float, pool: bool = False) -> keras.KerasTensor:
    """Convolution, pool, batch normalization without a scale, GELU. Pooled first, there is a quarter to normalize."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_regularizer=make_l2(l2))(x)
    x = layers.MaxPooling2D()(x) if pool else x
    return layers.Activation("gelu")(layers.BatchNormalization(momentum=_MOMENTUM, scale=False)(x))
