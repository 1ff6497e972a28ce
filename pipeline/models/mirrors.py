"""A model that averages its answers on an image and on its mirror image. Imports Keras."""

import keras
from keras import ops

from pipeline.models.layers import make_input

_ONE_VIEW = "one_view"


def average_mirrors(model: keras.Model) -> keras.Model:
    """The mean of the probabilities that `model` gives for an image and for the image mirrored left to right (test-time
    augmentation as in Krizhevsky et al. 2012). Same images in, probabilities out; the same weights, used twice.

    Probabilities, not logits: of every kind of model, one of votes has no logits, their mean is a probability again, and its
    loss is at most the mean of both losses, as the logarithm is concave. Both images go through the network as one batch of
    twice the size, so that a graph of constants has each weight once.
    """
    name, num_classes = model.name, model.output_shape[1]
    model.name = _ONE_VIEW
    images = make_input(model.input_shape[1])
    both = model(ops.concatenate([images, ops.flip(images, axis=2)], axis=0))
    return keras.Model(images, ops.mean(ops.reshape(both, (2, -1, num_classes)), axis=0), name=name)


def is_averaged(model: keras.Model) -> bool:
    """Whether `average_mirrors` made it."""
    return get_one_view(model) is not model


def get_one_view(model: keras.Model) -> keras.Model:
    """The model inside an averaged one, which sees the image alone; any other model as it is."""
    last = model.layers[-1]
    return last if isinstance(last, keras.Model) and last.name == _ONE_VIEW else model
