"""A model with a second answer: besides probabilities, how far an image is from the training images. Imports Keras."""

import keras
import numpy as np
from keras import ops

from pipeline.models.layers import unwrap
from pipeline.models.mirrors import average_mirrors, get_one_view, is_averaged


def find_features(network: keras.Model) -> keras.KerasTensor:
    """The inputs of the last dense layer, (batch, features), of a network without layers in front; see `unwrap`."""
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)][-1].input


def make_extractor(model: keras.Model) -> keras.Model:
    """Pixels to what `find_features` finds; of the image alone, where a model averages mirror images."""
    model = get_one_view(model)
    _, network = unwrap(model)
    return put_in_front(model, keras.Model(network.input, find_features(network)))


def put_in_front(model: keras.Model, inner: keras.Model) -> keras.Model:
    """`inner`, which has the inputs of `model`'s own network, behind the layers in front of that network; see `unwrap`."""
    front, network = unwrap(model)
    if network is model:
        return inner
    x = model.input
    for layer in front:
        x = layer(x)
    return keras.Model(model.input, inner(x))


def make_joint(
    model: keras.Model, *, mean: np.ndarray, axes: np.ndarray, whitening: np.ndarray, centres: np.ndarray, rest: float
) -> keras.Model:
    """Pixels to (batch, classes + 1): the probabilities and, behind them, the distance, 0 or more, of `find_features`.

    The others: see `Directions` in `pipeline.evaluation.familiarity`, whose `measure_distances` computes the same in NumPy.
    Of a model that averages mirror images, the mean of both distances.
    """
    if is_averaged(model):
        parts = {"mean": mean, "axes": axes, "whitening": whitening, "centres": centres}
        return average_mirrors(make_joint(get_one_view(model), **parts, rest=rest))
    _, network = unwrap(model)
    features = find_features(network)
    if features.shape[1] != len(mean):
        raise ValueError(f"the last layer takes {features.shape[1]} numbers, distances are of {len(mean)}")
    centred = ops.cast(features, "float32") - ops.convert_to_tensor(mean[None])
    coordinates = ops.matmul(centred, ops.convert_to_tensor(axes))
    whitened = ops.matmul(coordinates, ops.convert_to_tensor(whitening))
    differences = ops.expand_dims(whitened, 1) - ops.convert_to_tensor(centres[None])
    nearest = ops.min(ops.mean(ops.square(differences), axis=2), axis=1)
    left = ops.sum(ops.square(centred), axis=1) - ops.sum(ops.square(coordinates), axis=1)
    distance = ops.sqrt(nearest + rest * ops.maximum(left, 0.0))
    both = ops.concatenate([network.output, ops.expand_dims(ops.cast(distance, network.output.dtype), 1)], axis=1)
    return put_in_front(model, keras.Model(network.input, both))
