"""Transfer learning: a new head on a backbone's cached features, then, if asked, the backbone itself. Imports TensorFlow."""

import functools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from dvclive import Live

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.data.embeddings import Embeddings, load_embeddings
from pipeline.data.feature_statistics import compute_statistics
from pipeline.data.tfrecords import DatasetFacts, load_dataset_facts
from pipeline.models.backbones.loader import build_backbone, unfreeze
from pipeline.models.build import build_model
from pipeline.models.predictions import predict_features
from pipeline.models.tail import build_tail, count_early_features
from pipeline.models.transfer import build_head, set_statistics
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.tensorflow import seed_everything
from pipeline.training.activations import make_activation_data
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints, PhaseCheckpoints
from pipeline.training.features import load_embedding_backbone, make_feature_batches, read_feature_batches
from pipeline.training.fine_tune import fine_tune, make_tuning_recipe, train_whole
from pipeline.training.fit import (
    ONLY_PHASE,
    Fit,
    FitData,
    Phase,
    Watch,
    compile_model,
    compute_class_weight,
    fit,
    log_kept,
    open_record,
)
from pipeline.training.network import make_fit_data
from pipeline.training.resume import list_state
from pipeline.training.soft_labels import soften_labels

# Steps that TensorFlow runs before it returns to Python, one or two seconds: a return takes longer than a head's step.
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
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    embeddings: Embeddings | None = None,
) -> keras.Model:
    """Trains a head on data/embeddings/<family>, then fine-tunes if the recipe says so; returns the whole model, uncompiled:
    pixels in, probabilities out, with the weights of the better phase. One record for both phases. watch: see `fit`. Where
    fine_tune.start is fresh, there is one phase only: head and backbone on pixels at once. checkpoints, embeddings: see
    `train_family`.

    Raises PipelineError if the backbone is not the one that computed the features, if it has fewer layers than are to be
    unfrozen, and if the loss is no longer finite.
    """
    facts = load_dataset_facts()
    if recipe.starts_fresh:
        reading = {"cache_gb": cache_gb, "shuffle_buffer": shuffle_buffer}
        return train_fresh(
            family, recipe, facts, reading, seed=seed, record=record, watch=watch, checkpoints=checkpoints
        )
    embeddings = embeddings or load_embeddings(family)
    network = load_embedding_backbone(family, recipe, facts.image_size, embeddings)
    if recipe.fine_tune.epochs:  # raises before the first phase, not after it
        check_cut(family, recipe, embeddings)
        unfreeze(embeddings.facts.backbone, network, recipe.fine_tune.unfreeze, cut=recipe.fine_tune.cut)
        network.trainable = False
    build = functools.partial(build_whole, family, recipe, facts, network)
    with open_record(record) as live:
        settings: dict[str, Any] = {"seed": seed, "cache_gb": cache_gb}
        phase = Phase(
            finish=lambda trained: copy_head(trained, build()),
            is_last=not recipe.fine_tune.epochs,
            checkpoints=PhaseCheckpoints(checkpoints, "head"),
        )
        head, frozen = fit_head(family, recipe, facts, embeddings, **settings, live=live, watch=watch, phase=phase)
        model = copy_head(head, build())
        if recipe.fine_tune.epochs:
            kept = PhaseCheckpoints(checkpoints, "fine_tune")
            settings |= {"shuffle_buffer": shuffle_buffer, "first_epoch": kept.first_epoch}
            model, data = prepare_tuning(model, recipe, facts, embeddings, network, **settings)
            fine_tune(
                family,
                model,
                network,
                recipe,
                data,
                frozen=frozen,
                live=live,
                finish=lambda tuned: copy_head(tuned, build()),
                watch=watch,
                checkpoints=kept,
            )
    return copy_head(model, build())  # without the optimizer, which is twice as large as the model


def check_cut(family: str, recipe: TransferRecipe, embeddings: Embeddings) -> None:
    """Raises PipelineError where what `embed` has kept is not what the recipe asks for now."""
    if recipe.fine_tune.cut not in (None, embeddings.facts.cut):
        raise PipelineError(
            f"{embeddings.folder} has no activations that recipes.{family}.fine_tune.from names: expected those after block "
            f"{recipe.fine_tune.cut}, received {embeddings.facts.cut or 'none'}; run `dvc repro embed@{embeddings.folder.name}`"
        )


def prepare_tuning(
    model: keras.Model,
    recipe: TransferRecipe,
    facts: DatasetFacts,
    embeddings: Embeddings,
    network: keras.Model,
    *,
    seed: int,
    cache_gb: float,
    shuffle_buffer: int,
    first_epoch: int,
) -> tuple[keras.Model, FitData]:
    """What the second phase trains, with the head of `model`, and on what: the whole model on images or, where there is a cut,
    what comes after it on the activations there."""
    tuning, cut = make_tuning_recipe(recipe), recipe.fine_tune.cut
    if cut is None:
        reading: dict[str, Any] = {"cache_gb": cache_gb, "shuffle_buffer": shuffle_buffer}
        return model, make_fit_data(tuning, facts, seed=seed, **reading, first_epoch=first_epoch)
    name, head = embeddings.facts.backbone, make_head_settings(recipe, facts.num_classes)
    tail = copy_head(model, build_tail(name, network, features=recipe.features, cut=cut, **head))
    data = make_activation_data(
        embeddings,
        batch_size=tuning.batch_size,
        seed=seed,
        num_early=count_early_features(name, network, recipe.features, cut),
        first_epoch=first_epoch,
        oversample=tuning.oversample == "balanced",
        class_weight=compute_class_weight(facts.counts["train"], tuning.class_weight),
        mixup=tuning.augment.mixup,
        num_classes=facts.num_classes,
    )
    return tail, data


def train_fresh(
    family: str,
    recipe: TransferRecipe,
    facts: DatasetFacts,
    reading: Mapping[str, Any],
    *,
    seed: int,
    record: Path,
    watch: Watch | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> keras.Model:
    """Head and backbone from their first weights on, on pixels; see `train_transfer`. reading: see `make_fit_data`."""
    assert recipe.backbone is not None
    name, size = str(FAMILIES[family].backbone), recipe.input_size or facts.image_size
    network = build_backbone(name, size, recipe.backbone.weights, preset=recipe.backbone.preset, family=family)
    seed_everything(seed)  # after weights that may be random, with a seed of their own
    model = build_whole(family, recipe, facts, network)
    with open_record(record) as live:
        kept = PhaseCheckpoints(checkpoints, "whole")
        data = make_fit_data(make_tuning_recipe(recipe), facts, seed=seed, **reading, first_epoch=kept.first_epoch)
        train_whole(family, model, network, recipe, data, live=live, watch=watch, checkpoints=kept)
    network.trainable = False  # as all models are kept
    return copy_head(model, build_whole(family, recipe, facts, network))  # without the optimizer


def build_whole(family: str, recipe: TransferRecipe, facts: DatasetFacts, network: keras.Model) -> keras.Model:
    """The whole model on a backbone that is built already, with an untrained head."""
    settings = make_head_settings(recipe, facts.num_classes)
    settings |= {"input_size": recipe.input_size, "features": recipe.features, "network": network}
    return build_model(family, image_size=facts.image_size, **settings)


def train_head(
    family: str,
    recipe: TransferRecipe,
    *,
    seed: int,
    cache_gb: float,
    record: Path,
    mirrored: bool = False,
    watch: Watch | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> tuple[np.ndarray, np.ndarray]:
    """The first phase alone, without the backbone, which takes longer to build than a head to train: (labels, int64 (n,);
    probabilities, float32 (n, classes)) of val, equal to those of the whole model. mirrored: see `predict_features`."""
    facts, embeddings = load_dataset_facts(), load_embeddings(family)
    settings: dict[str, Any] = {"seed": seed, "cache_gb": cache_gb, "watch": watch}
    phase = Phase(checkpoints=PhaseCheckpoints(checkpoints, "head"))
    with open_record(record) as live:
        head, _ = fit_head(family, recipe, facts, embeddings, **settings, live=live, phase=phase)
    return predict_features(head, embeddings, "val", mirrored=mirrored)


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
    phase: Phase = ONLY_PHASE,
) -> tuple[keras.Model, Fit]:
    """A head trained on cached features, and its fit. phase: what to keep if training diverges, and so on; see `fit`."""
    reading: dict[str, Any] = {"batch_size": recipe.batch_size, "seed": seed, "cache_gb": cache_gb}
    reading |= {"first_epoch": phase.checkpoints.first_epoch, "oversample": recipe.oversample == "balanced"}
    batches, steps = make_feature_batches(embeddings, **reading)
    inputs, backbone = embeddings.facts.num_features, str(embeddings.facts.backbone)
    head = begin_head(backbone, inputs, facts.num_classes, recipe, seed=seed, steps=steps)
    if recipe.standardize:
        views = range(embeddings.facts.views + 1)
        set_statistics(head, *compute_statistics(embeddings.features("train", *views)))
    class_weight = compute_class_weight(facts.counts["train"], recipe.class_weight)
    data = FitData(batches, steps, read_feature_batches(embeddings, "val"), class_weight)
    data = soften_labels(data, facts.num_classes, recipe)
    frozen = fit(family, head, recipe, data, live=live, phase=phase, watch=watch)
    log_kept(live, frozen.kept_epoch + 1, frozen.kept)
    return head, frozen


def begin_head(
    backbone: str, num_features: int, num_classes: int, recipe: TransferRecipe, *, seed: int, steps: int
) -> keras.Model:
    """A compiled head, initialized by `seed`. Asked for the same head again, it resets the previous one: the folds of one
    setting need the same head, and TensorFlow takes longer to trace a head than to train it for an epoch. What follows draws
    the same random numbers either way."""
    seed_everything(seed)  # also where the head is there already, as weights that are random have a seed of their own
    head, initial, state = _compile_head(backbone, num_features, num_classes, recipe.model_dump_json(), seed, steps)
    for variable, value in zip(list_state(head), initial, strict=True):
        variable.assign(value)
    random.setstate(state)
    return head


@functools.lru_cache(maxsize=1)
def _compile_head(
    backbone: str, num_features: int, num_classes: int, recipe_json: str, seed: int, steps: int
) -> tuple[keras.Model, list[np.ndarray], tuple[Any, ...]]:
    """A head that is ready to train, the initial values of `list_state`, and the state of Python's generator then.
    recipe_json: a recipe is not hashable."""
    recipe = TransferRecipe.model_validate_json(recipe_json)
    seed_everything(seed)
    head = build_head(backbone, num_features, **make_head_settings(recipe, num_classes))
    # On one device in any case: to share a step would take longer than the step.
    together = max(n for n in range(1, min(steps, _MOST_STEPS) + 1) if steps % n == 0)
    compile_model(head, recipe, steps, steps_per_execution=together, shared=False)
    head.optimizer.build(head.trainable_variables)
    return head, [variable.numpy() for variable in list_state(head)], random.getstate()


def make_head_settings(recipe: TransferRecipe, num_classes: int) -> dict[str, Any]:
    """Arguments of `build_head` for a recipe and a number of classes."""
    names = ("head_units", "dropout", "l2", "width", "standardize")
    return {"num_classes": num_classes, **{name: getattr(recipe, name) for name in names}}


def copy_head(head: keras.Model, model: keras.Model) -> keras.Model:
    """Copies the weights of a head, the layers between the pooled features and the probabilities, into a model; returns it."""
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dense | keras.layers.BatchNormalization):
            model.get_layer(layer.name).set_weights(layer.get_weights())
    return model
