"""Training of a linear support-vector machine, one against the rest, on all pixels at once. Imports TensorFlow.

The objective is liblinear's and scikit-learn's LinearSVC's (squared hinge; Fan et al. 2008, LIBLINEAR), with a free
intercept. It is minimised by SciPy's L-BFGS on matrix products: liblinear's single thread on float64 copies is far slower
(three times already at 1,000 images, on a third of the passes). A test compares the two.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from pipeline.config.sections import LinearRecipe
from pipeline.data.batches import read_batches
from pipeline.data.embeddings import Embeddings, load_embeddings
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.models.build import build_model
from pipeline.training.class_weights import compute_class_weight
from pipeline.training.fit import open_record
from pipeline.training.head import load_embedding_backbone
from pipeline.training.scores import compute_accuracy_and_loss

_DECREASE = 1e-5  # of the objective in one pass, relative; weights move by a few per cent below it, accuracy does not
_TOLERANCE = 1e-5  # on the gradient, relative to where it began


@dataclass(frozen=True)
class Hyperplanes:
    """kernel: float32 (features, classes). bias: float32 (classes,). iterations: that L-BFGS took. converged: or gave up."""

    kernel: np.ndarray
    bias: np.ndarray
    iterations: int
    converged: bool


def train_linear(family: str, recipe: LinearRecipe, *, record: Path) -> keras.Model:
    """Fits the machine to data/tfrecords, or to data/embeddings/<family> where the family has a backbone; returns an
    uncompiled model, pixels in, probabilities out.

    Scores become probabilities by a softmax whose temperature is fitted on the validation split.
    """
    facts = load_dataset_facts()
    size, num_classes = facts.image_size, len(facts.class_names)
    if recipe.backbone is None:
        pool = choose_pool(facts.num_images["train"], size, recipe.max_gb)
        model = build_model(family, image_size=size, num_classes=num_classes, pool=pool)
        train, val = load_features("train", pool), load_features("val", pool)
    else:
        embeddings = load_embeddings(family)
        network = load_embedding_backbone(family, recipe, size, embeddings)
        model = build_model(
            family, image_size=size, num_classes=num_classes, input_size=recipe.input_size, network=network
        )
        train, val = load_views(embeddings, recipe.max_gb), load_embedded(embeddings, "val")
    weights = compute_class_weight(facts.counts["train"], recipe.class_weight) or dict.fromkeys(range(num_classes), 1.0)
    costs = recipe.C * np.array([weights[label] for label in train[1]])
    planes = fit_hyperplanes(*train, num_classes=num_classes, costs=costs, max_iterations=recipe.max_iterations)
    if not planes.converged:
        print(f"{family}: not converged after {planes.iterations} passes; see recipes.{family}.max_iterations")
    scale = fit_scale(val[0] @ planes.kernel + planes.bias, val[1])
    model.get_layer("probabilities").set_weights([planes.kernel * scale, planes.bias * scale])
    with open_record(record) as live:
        # One point instead of a curve, so that the family stands in the same charts as all others.
        for name, (x, y) in (("train", train), ("eval", val)):
            probabilities = softmax(scale * (x @ planes.kernel + planes.bias), axis=1)
            for metric, value in compute_accuracy_and_loss(y, probabilities).items():
                live.log_metric(f"{name}/{metric}", value)
        live.summary["best"] = {"iterations": planes.iterations, "scale": scale}
    return model


def load_embedded(embeddings: Embeddings, split: str, view: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A split's features, float32 (n, features), and its labels, int64 (n,)."""
    labels = embeddings.labels(split)
    return embeddings.features(split, view).take(np.arange(len(labels))), labels


def load_views(embeddings: Embeddings, max_gb: float) -> tuple[np.ndarray, np.ndarray]:
    """The training images and as many of their changed views as fit into `max_gb` GB, one below the other."""
    size = 4e-9 * embeddings.facts.num_features * embeddings.facts.num_images["train"]
    most = max(1, int(max_gb / size)) if size else 1
    parts = [load_embedded(embeddings, "train", view) for view in range(min(most, embeddings.facts.views + 1))]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def choose_pool(num_images: int, image_size: int, max_gb: float) -> int:
    """The smallest number of pixels a side to average into one so that all images take at most `max_gb` GB as float32."""
    return next(
        pool
        for pool in range(1, image_size + 1)
        if num_images * (image_size // pool) ** 2 * 12 <= max_gb * 1e9 or pool == image_size
    )


def load_features(split: str, pool: int) -> tuple[np.ndarray, np.ndarray]:
    """A split as float32 (n, features), 0 to 1, averaged over pool × pool pixels, and its labels, int64 (n,)."""
    facts = load_dataset_facts()
    n, side = facts.num_images[split], facts.image_size // pool
    features, labels, position = np.empty((n, side * side * 3), np.float32), np.empty(n, np.int64), 0
    for images, numbers in read_batches(split, batch_size=256).as_numpy_iterator():
        rows = slice(position, position := position + len(images))
        blocks = images[:, : side * pool, : side * pool].reshape(-1, side, pool, side, pool, 3)
        features[rows] = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(images), -1) / 255
        labels[rows] = numbers
    return features, labels


def fit_hyperplanes(
    features: np.ndarray, labels: np.ndarray, *, num_classes: int, costs: np.ndarray, max_iterations: int
) -> Hyperplanes:
    """Minimises ½‖w‖² + Σ cost · max(0, 1 − y (w·x + b))² for each class against the rest, all classes together.

    features: float32 (n, d). labels: int (n,). costs: float (n,), the price of each image's error.
    """
    centre = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    x, axes = _rotate(features - centre)  # centred, the problem is far better conditioned
    d = x.shape[1]
    signs = np.where(np.arange(num_classes) == labels[:, None], 1.0, -1.0).astype(np.float32)
    prices = costs.astype(np.float32)[:, None]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel = flat[: d * num_classes].reshape(d, num_classes)
        slack = np.maximum(0, 1 - signs * (x @ kernel.astype(np.float32) + flat[d * num_classes :].astype(np.float32)))
        residual = -2 * prices * signs * slack
        value = 0.5 * float(np.square(kernel).sum()) + float((prices * slack * slack).sum(dtype=np.float64))
        gradient = kernel + x.T @ residual
        return value, np.concatenate([gradient.ravel(), residual.sum(axis=0, dtype=np.float64)])

    begin = np.zeros((d + 1) * num_classes)
    tolerance = _TOLERANCE * float(np.abs(objective(begin)[1]).max())
    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "gtol": tolerance, "ftol": _DECREASE}
    # One thread: the same sums on any number of cores, and no threads that spin for the next small product.
    with threadpool_limits(1):
        result = minimize(objective, begin, jac=True, method="L-BFGS-B", options=options)
    kernel = result.x[: d * num_classes].reshape(d, num_classes).astype(np.float32)
    kernel = kernel if axes is None else axes @ kernel
    bias = result.x[d * num_classes :] - centre.astype(np.float64) @ kernel
    return Hyperplanes(kernel, bias.astype(np.float32), int(result.nit), bool(result.success))


def _rotate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Fewer images than features: the same images in the coordinates of the space that they span. The objective depends
    on lengths and angles alone, so its minimum is the same, and each pass costs n² instead of n × features."""
    n, d = x.shape
    if n >= d:
        return x, None
    values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
    kept = values > values[-1] * 1e-7  # float32 products carry no more
    lengths = np.sqrt(values[kept])
    axes = (x.T @ (vectors[:, kept] / lengths)).astype(np.float32)
    return (vectors[:, kept] * lengths).astype(np.float32), axes


def fit_scale(scores: np.ndarray, labels: np.ndarray) -> float:
    """The factor on scores that makes softmax(factor × scores) most likely for the labels: Platt's idea, one number."""

    def loss(log_scale: float) -> float:
        chosen = log_softmax(np.exp(log_scale) * scores.astype(np.float64), axis=1)
        return -float(chosen[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-7.0, 7.0), method="bounded").x))
