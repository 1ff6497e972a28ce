"""Training of a new head on a backbone's cached features, and then, where asked, of the backbone itself. Imports TensorFlow."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from dvclive import Live

from pipeline.config.families import FAMILIES
from pipeline.config.sections import TransferRecipe
from pipeline.data.augmentation import Augmentation
from pipeline.data.batches import make_training_batches
from pipeline.data.embeddings import Embeddings, load_embeddings
from pipeline.data.tfrecords import DatasetFacts, load_dataset_facts
from pipeline.models.backbones import build_backbone, compute_weights_digest, unfreeze
from pipeline.models.build import build_model
from pipeline.models.predictions import predict_features
from pipeline.models.transfer import build_head
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.tensorflow import seed_everything
from pipeline.training.class_weights import compute_class_weight
from pipeline.training.features import make_feature_batches, read_feature_batches
from pipeline.training.fine_tune import fine_tune
from pipeline.training.fit import Fit, Watch, compile_model, fit, log_best, open_record

# That TensorFlow runs before it asks Python, a second or two: a head's step takes less time than the asking.
_MOST_STEPS = 1000


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
    network = load_embedding_backbone(family, recipe, facts.image_size, embeddings)
    if recipe.fine_tune.epochs:  # what can't be done is said before the first phase
        unfreeze(embeddings.facts.backbone, network, recipe.fine_tune.unfreeze)
        network.trainable = False

    def build() -> keras.Model:
        settings = make_head_settings(recipe, len(facts.class_names))
        return build_model(
            family, image_size=facts.image_size, input_size=recipe.input_size, network=network, **settings
        )

    with open_record(record) as live:
        head, frozen = fit_head(
            family,
            recipe,
            facts,
            embeddings,
            seed=seed,
            cache_gb=cache_gb,
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
            class_weight = compute_class_weight(facts.counts["train"], recipe.class_weight)
            fine_tune(family, model, network, recipe, batches, steps, class_weight, frozen, live, watch)
    return copy_head(model, build())  # without the optimizer, which weighs twice as much as the model


def train_head(
    family: str, recipe: TransferRecipe, *, seed: int, cache_gb: float, record: Path, watch: Watch | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The first phase alone, without the backbone, which takes longer to build than a head to train: (labels, int64 (n,);
    probabilities, float32 (n, classes)) of val, as those of the whole model."""
    facts, embeddings = load_dataset_facts(), load_embeddings(family)
    with open_record(record) as live:
        head, _ = fit_head(family, recipe, facts, embeddings, seed=seed, cache_gb=cache_gb, live=live, watch=watch)
    return predict_features(head, embeddings, "val")


def fit_head(
    family: str,
    recipe: TransferRecipe,
    facts: DatasetFacts,
    embeddings: Embeddings,
    *,
    seed: int,
    cache_gb: float,
    live: Live,
    watch: Watch | None = None,
    finish: Callable[[keras.Model], keras.Model] = lambda head: head,
) -> tuple[keras.Model, Fit]:
    """A head trained on cached features, and how it went. finish: what is kept of one whose training diverges; see `fit`."""
    batches, steps = make_feature_batches(embeddings, batch_size=recipe.batch_size, seed=seed, cache_gb=cache_gb)
    inputs, classes = embeddings.facts.num_features, len(facts.class_names)
    head = begin_head(str(embeddings.facts.backbone), inputs, classes, recipe, seed=seed, steps=steps)
    frozen = fit(
        family,
        head,
        recipe,
        batches=batches,
        steps=steps,
        validation=read_feature_batches(embeddings, "val"),
        class_weight=compute_class_weight(facts.counts["train"], recipe.class_weight),
        live=live,
        compiled=True,
        finish=finish,
        watch=watch,
    )
    log_best(live, frozen.best_epoch + 1, frozen.best)
    return head, frozen


def begin_head(
    backbone: str, num_features: int, num_classes: int, recipe: TransferRecipe, *, seed: int, steps: int
) -> keras.Model:
    """A compiled head as `seed` begins it: a new one, or, asked for the same again, the one that was given out last, set back.
    The folds of a setting differ in nothing else, and TensorFlow takes longer to trace a head than to train it an epoch."""
    head, beginning = _compile_head(backbone, num_features, num_classes, recipe.model_dump_json(), seed, steps)
    for variable, value in zip(_list_state(head), beginning, strict=True):
        variable.assign(value)
    return head


@functools.lru_cache(maxsize=1)
def _compile_head(
    backbone: str, num_features: int, num_classes: int, recipe_json: str, seed: int, steps: int
) -> tuple[keras.Model, list[np.ndarray]]:
    """A head that is ready to train, and the values of `_list_state`. recipe_json: as a recipe is not hashable."""
    recipe = TransferRecipe.model_validate_json(recipe_json)
    seed_everything(seed)
    head = build_head(backbone, num_features, **make_head_settings(recipe, num_classes))
    together = max(n for n in range(1, min(steps, _MOST_STEPS) + 1) if steps % n == 0)
    compile_model(head, recipe, steps, steps_per_execution=together)
    head.optimizer.build(head.trainable_variables)
    return head, [variable.numpy() for variable in _list_state(head)]


def _list_state(head: keras.Model) -> list[keras.Variable]:
    """All that training changes: weights, what dropout draws from, the optimizer's means and its rate."""
    return [*head.variables, *head.optimizer.variables]


def make_head_settings(recipe: TransferRecipe, num_classes: int) -> dict[str, Any]:
    """What `build_head` is given for a recipe and a number of classes."""
    names = ("head_units", "dropout", "l2", "width")
    return {"num_classes": num_classes, **{name: getattr(recipe, name) for name in names}}


def load_embedding_backbone(family: str, recipe: Any, image_size: int, embeddings: Embeddings) -> keras.Model:
    """The frozen backbone with the very weights that embed has used. Raises PipelineError if they are others."""
    name = FAMILIES[family].backbone
    network = build_backbone(str(name), recipe.input_size or image_size, recipe.backbone.weights, family=family)
    if compute_weights_digest(network) != embeddings.facts.weights_sha256:
        raise PipelineError(
            f"the features in {embeddings.folder} were made with other weights than recipes.{family}.backbone.weights names "
            f"now: run `dvc repro -f embed@{family}`"
        )
    return network


def copy_head(head: keras.Model, model: keras.Model) -> keras.Model:
    """Gives a model the head of another, the layers between the pooled features and the probabilities; returns it."""
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dense):
            model.get_layer(layer.name).set_weights(layer.get_weights())
    return model
