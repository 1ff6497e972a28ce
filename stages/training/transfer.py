"""Training of a new head on a backbone's cached features, and then, where asked, of the backbone itself. Imports TensorFlow."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from dvclive import Live

from stages.dataset.augmentation import Augmentation
from stages.dataset.batches import make_training_batches
from stages.dataset.embeddings import Embeddings, Rows, load_embeddings
from stages.dataset.records import load_dataset_facts
from stages.errors import PipelineError
from stages.evaluation.predictions import predict_features
from stages.families import FAMILIES, build_model
from stages.families.backbones import build_backbone, build_head, compute_weights_digest, unfreeze
from stages.params import TransferRecipe
from stages.runtime import seed_everything
from stages.training.fitting import Fit, Watch, fit, is_better, log_best, open_record
from stages.training.network import read_validation
from stages.training.weights import compute_class_weight

_VALIDATION_BATCH = 4096  # rows; only speed and memory depend on it
_MOST_STEPS = 64  # that TensorFlow runs before it asks Python: a head's step takes less time than the asking


def train_transfer(
    family: str,
    recipe: TransferRecipe,
    *,
    seed: int,
    cache_gb: float,
    shuffle_buffer: int,
    record: Path,
    watch: Watch | None = None,
) -> keras.Model:
    """Trains a head on data/embeddings/<family>, then fine-tunes if the recipe says so; returns the whole model, uncompiled:
    pixels in, probabilities out, with the better of both phases. One record across both. watch: see `fit`.

    Raises PipelineError if the backbone is not the one that embed has used, if there are fewer layers than shall be
    unfrozen, and if the loss stops being a number.
    """
    facts, embeddings = load_dataset_facts(), load_embeddings(family)
    network = load_backbone(family, recipe, facts["image_size"], embeddings)
    if recipe.fine_tune.epochs:  # what can't be done is said before the first phase
        unfreeze(embeddings.facts.backbone, network, recipe.fine_tune.unfreeze)
        network.trainable = False

    def build() -> keras.Model:
        settings = make_head_settings(recipe, facts)
        return build_model(
            family, image_size=facts["image_size"], input_size=recipe.input_size, network=network, **settings
        )

    with open_record(record) as live:
        head, frozen = fit_head(
            family,
            recipe,
            facts,
            embeddings,
            seed=seed,
            live=live,
            watch=watch,
            finish=lambda trained: copy_head(trained, build()),
        )
        model = copy_head(head, build())
        if recipe.fine_tune.epochs:
            batches, steps = make_training_batches(
                batch_size=recipe.batch_size,
                seed=seed,
                augmentation=Augmentation(**recipe.augment.model_dump()),
                cache_gb=cache_gb,
                shuffle_buffer=shuffle_buffer,
            )
            class_weight = compute_class_weight(facts["counts"]["train"], recipe.class_weight)
            fine_tune(family, model, network, recipe, batches, steps, class_weight, frozen, live, watch)
    return copy_head(model, build())  # without the optimizer, which weighs twice as much as the model


def train_head(
    family: str, recipe: TransferRecipe, *, seed: int, record: Path, watch: Watch | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The first phase alone, without the backbone, which takes longer to build than a head to train: (labels, int64 (n,);
    probabilities, float32 (n, classes)) of val, as those of the whole model."""
    facts, embeddings = load_dataset_facts(), load_embeddings(family)
    with open_record(record) as live:
        head, _ = fit_head(family, recipe, facts, embeddings, seed=seed, live=live, watch=watch)
    return predict_features(head, embeddings, "val")


def fit_head(
    family: str,
    recipe: TransferRecipe,
    facts: dict[str, Any],
    embeddings: Embeddings,
    *,
    seed: int,
    live: Live,
    watch: Watch | None = None,
    finish: Callable[[keras.Model], keras.Model] = lambda head: head,
) -> tuple[keras.Model, Fit]:
    """A head trained on cached features, and how it went. finish: what is kept of one whose training diverges; see `fit`."""
    seed_everything(seed)
    head = build_head(embeddings.facts.backbone, embeddings.facts.num_features, **make_head_settings(recipe, facts))
    batches, steps = make_feature_batches(embeddings, batch_size=recipe.batch_size, seed=seed)
    frozen = fit(
        family,
        head,
        recipe,
        batches=batches,
        steps=steps,
        validation=read_feature_batches(embeddings, "val"),
        class_weight=compute_class_weight(facts["counts"]["train"], recipe.class_weight),
        live=live,
        steps_per_execution=max(n for n in range(1, min(steps, _MOST_STEPS) + 1) if steps % n == 0),
        finish=finish,
        watch=watch,
    )
    log_best(live, frozen.best_epoch + 1, frozen.best)
    return head, frozen


def make_head_settings(recipe: TransferRecipe, facts: dict[str, Any]) -> dict[str, Any]:
    """What `build_head` is given for a recipe and the images that dataset.json describes."""
    names = ("head_units", "dropout", "l2", "width")
    return {"num_classes": len(facts["class_names"]), **{name: getattr(recipe, name) for name in names}}


def load_backbone(family: str, recipe: Any, image_size: int, embeddings: Embeddings) -> keras.Model:
    """The frozen backbone with the very weights that embed has used. Raises PipelineError if they are others."""
    name = FAMILIES[family].backbone
    network = build_backbone(str(name), recipe.input_size or image_size, recipe.backbone.weights, family=family)
    if compute_weights_digest(network) != embeddings.facts.weights_sha256:
        raise PipelineError(
            f"the features in {embeddings.folder} were made with other weights than recipes.{family}.backbone.weights names "
            f"now: run `dvc repro -f embed@{family}`"
        )
    return network


def fine_tune(
    family: str,
    model: keras.Model,
    network: keras.Model,
    recipe: TransferRecipe,
    batches: tf.data.Dataset,
    steps: int,
    class_weight: dict[int, float] | None,
    frozen: Fit,
    live: Live,
    watch: Watch | None = None,
) -> None:
    """The second phase, in place, on pixels. Leaves the model as it was if no epoch is better than the first phase's best."""
    before, rule = model.get_weights(), recipe.fine_tune

    def restore() -> keras.Model:
        network.trainable = False
        model.set_weights(before)
        return model

    unfreeze(str(FAMILIES[family].backbone), network, rule.unfreeze)
    settings = {"epochs": rule.epochs, "learning_rate": rule.learning_rate, "optimizer": rule.optimizer}
    tuned = fit(
        family,
        model,
        recipe.model_copy(update=settings),
        batches=batches,
        steps=steps,
        validation=read_validation(),
        class_weight=class_weight,
        live=live,
        rate_name=f"recipes.{family}.fine_tune.learning_rate",
        fallback=restore,
        is_worth_keeping=lambda outcome: is_better(recipe, outcome, frozen),
        epochs_before=frozen.epochs,
        watch=watch,
    )
    if is_better(recipe, tuned, frozen):
        log_best(live, frozen.epochs + tuned.best_epoch + 1, tuned.best)
        return
    print(f"{family}: no epoch of fine-tuning is better than the frozen backbone's best: that one is kept")
    restore()


def copy_head(head: keras.Model, model: keras.Model) -> keras.Model:
    """Gives a model the head of another, the layers between the pooled features and the probabilities; returns it."""
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dense):
            model.get_layer(layer.name).set_weights(layer.get_weights())
    return model


def make_feature_batches(
    embeddings: Embeddings, *, batch_size: int, seed: int, first_epoch: int = 0
) -> tuple[tf.data.Dataset, int]:
    """Endless training batches of features, (float32 (batch, features), int64 (batch,)), and how many make an epoch.

    In each epoch each image comes once, as itself or as one of its views, drawn with the order from (seed, epoch).
    """
    labels = embeddings.labels("train")
    views = [embeddings.features("train", view) for view in range(embeddings.facts.views + 1)]
    n, num_features = len(labels), embeddings.facts.num_features

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch = first_epoch
        while True:
            rng = np.random.default_rng([seed, epoch])
            order, chosen = rng.permutation(n), rng.integers(0, len(views), n)
            for start in range(0, n, batch_size):
                rows = order[start : start + batch_size]
                yield gather(views, chosen[rows], rows), labels[rows]
            epoch += 1

    signature = (tf.TensorSpec((None, num_features), tf.float32), tf.TensorSpec((None,), tf.int64))
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return batches.prefetch(tf.data.AUTOTUNE), -(-n // batch_size)


def gather(views: list[Rows], chosen: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float32 (len(rows), features): row rows[i] of views[chosen[i]]."""
    if len(views) == 1:
        return views[0].take(rows)
    features = np.empty((len(rows), views[0].num_features), np.float32)
    for view in np.unique(chosen):
        features[chosen == view] = views[view].take(rows[chosen == view])
    return features


def read_feature_batches(embeddings: Embeddings, split: str) -> tf.data.Dataset:
    """The features of a split once, in order, with their labels."""
    rows, labels = embeddings.features(split), embeddings.labels(split)

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(labels), _VALIDATION_BATCH):
            chosen = np.arange(start, min(start + _VALIDATION_BATCH, len(labels)))
            yield rows.take(chosen), labels[chosen]

    signature = (tf.TensorSpec((None, embeddings.facts.num_features), tf.float32), tf.TensorSpec((None,), tf.int64))
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-len(labels) // _VALIDATION_BATCH))).cache()
