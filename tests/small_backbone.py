"""A mobilenet of two blocks: as fast to build, trace and save as a network of a study. Imports Keras."""

import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.data.embeddings import EmbeddingFacts, EmbeddingWriter, save_facts
from pipeline.models.backbones import keras_applications
from pipeline.models.backbones.backbone import compute_weights_digest
from pipeline.models.backbones.loader import build_backbone
from tests.tfrecords import Split

NUM_BLOCKS, NUM_FEATURES = 3, 64
CUT_CHANNELS = 16  # after the second block, on a quarter of each side


def build_small(input_size: int) -> keras.Model:
    """The first convolution and two blocks, with mobilenet's names and layers."""
    inputs = keras.Input((input_size, input_size, 3))
    x = _finish(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv1")(inputs), "conv1")
    for number, filters in enumerate((16, NUM_FEATURES), start=1):
        name = f"conv_dw_{number}"
        x = _finish(layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name=name)(x), name)
        name = f"conv_pw_{number}"
        x = _finish(layers.Conv2D(filters, 1, use_bias=False, name=name)(x), name)
    return keras.Model(inputs, x, name="mobilenet")


def _finish(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))


def shrink_mobilenet(patch: pytest.MonkeyPatch) -> None:
    """Makes the backbone mobilenet the small one. The real one is trained in test_every_family."""
    patch.setattr(keras_applications, "MOBILENET", replace(keras_applications.MOBILENET, build=build_small))


def write_features(folder: Path, splits: dict[str, Split], size: int) -> None:
    """What `embed` would keep of images of `size` pixels each side, with activations after the second block; of train also one
    augmented view. The numbers are made up, and show the class."""
    folder.mkdir(parents=True)
    shape, rng = [size // 4, size // 4, CUT_CHANNELS], np.random.default_rng(0)
    writer = EmbeddingWriter(folder, "float32")
    for split, (_, numbers) in splits.items():
        centres = np.eye(NUM_FEATURES)[numbers]
        for view in range(2 if split == "train" else 1):
            writer.write(split, view, [(centres + rng.normal(0, 0.5, centres.shape), numbers)])
            activations = writer.open_cut(split, view, math.prod(shape))
            activations.add(rng.random((len(numbers), math.prod(shape))) + numbers[:, None], len(numbers))
            activations.close()
    digest = compute_weights_digest(build_backbone("mobilenet", size, "none", family="mobilenet"))
    counts = {split: len(numbers) for split, (_, numbers) in splits.items()}
    facts = EmbeddingFacts("mobilenet", "key", digest, NUM_FEATURES, "float32", 1, counts, cut=2, cut_shape=shape)
    save_facts(facts, folder)
