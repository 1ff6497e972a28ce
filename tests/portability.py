"""What the bits of a run depend on, in small: prints a line per kind of arithmetic, its name and a digest of its results.

tests/test_portability.py compares what it prints on this processor with what it prints on others.
"""

# ruff: noqa: E402 - TensorFlow is configured first
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.runtime.tensorflow import configure_tensorflow, seed_everything

configure_tensorflow(onednn=True, threads=2, portable=True)

import numpy as np
import scipy.optimize
import scipy.special

from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_family
from pipeline.models.backbones.loader import build_backbone
from pipeline.models.build import build_model
from pipeline.models.inference import freeze
from pipeline.models.transfer import make_feature_model
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene
from pipeline.training.fit import compile_model
from pipeline.training.head import begin_head
from pipeline.training.network import make_settings

CLASSES, SIDE = 5, 64
images = (255 * np.random.default_rng(1).random((40, SIDE, SIDE, 3))).astype(np.float32)
labels = np.random.default_rng(2).integers(0, CLASSES, 40)


def use_numpy() -> Iterator[np.ndarray]:
    """Products, eigenvectors, a minimum, and functions whose code depends on the processor."""
    x = images.reshape(len(images), -1) / 255
    yield x @ x.T
    yield from np.linalg.eigh((x @ x.T).astype(np.float64))
    values = np.random.default_rng(3).standard_normal((200, 30))
    yield scipy.optimize.minimize(lambda z: float(np.square(values @ z - 1).sum()), np.zeros(30), method="L-BFGS-B").x
    for function in (np.exp, np.log, np.sqrt, np.sin, np.tanh, np.log1p, lambda v: v**0.7):
        yield function(np.abs(values))
        yield function(np.abs(values).astype(np.float32))
    yield scipy.special.log_softmax(values, axis=1)


def draw_pictures() -> Iterator[np.ndarray]:
    for label in CLASS_NAMES:
        yield from (draw_scene(label, image_size=SIDE, seed=42, index=index) for index in range(4))


def predict_by_linear_svm() -> Iterator[np.ndarray]:
    """Its training is made of what `use_numpy` tries; as a whole, QEMU 7.2 crashes in it."""
    model = build_model("linear_svm", image_size=SIDE, num_classes=CLASSES)
    kernel, bias = model.get_layer("probabilities").get_weights()
    model.get_layer("probabilities").set_weights([np.random.default_rng(4).normal(0, 0.01, kernel.shape), bias])
    for size in (1, 16, 40):
        yield freeze(model)(images[:size])


def embed() -> Iterator[np.ndarray]:
    network = build_backbone("efficientnet_lite0", 160, "imagenet", family="efficientnet_lite0")
    yield freeze(make_feature_model("efficientnet_lite0", network, image_size=SIDE, input_size=160))(images[:8])


def train_head() -> Iterator[np.ndarray]:
    recipe: Any = resolve_family(load_params(), "efficientnet_lite0")
    rng = np.random.default_rng(5)
    features, numbers = rng.random((256, 1280)).astype(np.float32), rng.integers(0, CLASSES, 256)
    head = begin_head("efficientnet_lite0", 1280, CLASSES, recipe, seed=1, steps=2)
    head.fit(features, numbers, batch_size=128, epochs=2, verbose=0, shuffle=False)
    yield from (*head.get_weights(), head.predict(features[:40], verbose=0))


def train(family: str) -> Iterator[np.ndarray]:
    """Two steps, then predictions."""
    recipe: Any = resolve_family(load_params(), family)
    facts: Any = SimpleNamespace(image_size=SIDE, num_classes=CLASSES)
    seed_everything(3)
    model = build_model(family, **make_settings(family, recipe, facts))
    compile_model(model, recipe, 2)
    model.fit(images[:32], labels[:32], batch_size=16, verbose=0, shuffle=False)
    yield from (*model.get_weights(), freeze(model)(images[:16]))


PARTS: dict[str, Callable[[], Iterator[np.ndarray]]] = {
    "pictures": draw_pictures,
    "numpy": use_numpy,
    "linear_svm": predict_by_linear_svm,
    "features": embed,
    "head": train_head,
    **{name: lambda name=name: train(name) for name in ("underfit", "overfit", "optimized", "cifar_elu")},
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in PARTS[part]()))
        print(part, digest.hexdigest()[:16], flush=True)
