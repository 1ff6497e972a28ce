"""Builds backbones by name, with their weights, and unfreezes them. Imports Keras."""

import warnings
import zipfile
from importlib import import_module
from pathlib import Path

import h5py
import keras

from pipeline.config.families import BACKBONES
from pipeline.models.archive import RefusedError, check_model, check_weights
from pipeline.models.backbones.backbone import Backbone
from pipeline.models.backbones.blocks import cut_after, keep_weighted, split_blocks
from pipeline.runtime.errors import PipelineError
from pipeline.sources.local_paths import resolve_path


def load_backbone(name: str) -> Backbone:
    """The declaration behind a name in BACKBONES."""
    module, _, constant = BACKBONES[name].partition(":")
    return getattr(import_module(module), constant)


def build_backbone(
    name: str, input_size: int, weights: str = "none", *, preset: str | None = None, family: str | None = None
) -> keras.Model:
    """The convolutional part of a backbone, frozen: scaled images in, feature maps out.

    name: in BACKBONES. input_size: pixels, each side. weights: imagenet, none (random, the same each time) or a file saved
    by Keras: `.weights.h5`, or a whole `.keras` model of the same part. preset: of KerasHub, for backbones that are presets,
    whose weights `imagenet` means then. family: the one whose recipe an error names; None:
    the one called like the backbone. Raises PipelineError where weights are unavailable or do not fit.
    """
    if weights == "none":
        keras.utils.set_random_seed(1)
    declared = load_backbone(name)
    if declared.build_preset is not None:
        parameter = f"recipes.{family or name}.backbone.preset"
        backbone = declared.build_preset(preset, input_size, weighted=weights == "imagenet", parameter=parameter)
    else:
        backbone = declared.build(input_size)
        if weights == "imagenet":
            declared.load(backbone)
    if weights not in ("imagenet", "none"):
        _load_file(backbone, name, resolve_path(weights), f"recipes.{family or name}.backbone.weights")
    backbone.trainable = False
    # Keras would pass the outer model's `training=True` on to a network that was called with training=False, and the
    # ImageNet statistics of batch normalization would drift. There is no public way to prevent it.
    backbone._call_context_args = set()
    return backbone


def _load_file(backbone: keras.Model, name: str, file: Path, parameter: str) -> None:
    if not file.exists():
        raise PipelineError(f"{parameter}: {file} is not here: expected imagenet, none or a file of weights")
    if not (zipfile.is_zipfile(file) if file.suffix == ".keras" else h5py.is_hdf5(file)):
        raise PipelineError(
            f"{parameter}: {file} can't be read: expected a whole file of weights as Keras saves them, .keras or .h5"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns about layers that it could not fill
            if file.suffix == ".keras":
                check_model(file)
                backbone.set_weights(keras.models.load_model(file, compile=False, safe_mode=True).get_weights())
            else:
                check_weights(file)
                backbone.load_weights(file)
    except MemoryError:
        raise
    except RefusedError as error:
        raise PipelineError(f"{parameter}: {file} is refused: {error}") from error
    except Exception as error:  # Keras raises whatever type the mismatch leads to
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, OSError):
            raise PipelineError(f"{parameter}: {file} can't be read: {reason}") from error
        raise PipelineError(
            f"{parameter}: {file} does not fit {name} without its top: expected "
            f"{backbone.count_params():,} numbers in {len(backbone.weights)} arrays; Keras says: {reason}"
        ) from error


def unfreeze(name: str, backbone: keras.Model, which: str | int, *, cut: int | None = None) -> None:
    """Makes the last layers of a backbone trainable.

    which: all; a number of layers that have weights; or text such as "2 blocks" or "20 layers". cut: the block after which
    anything may be trained, see `cut_after`, and all is; None: there is none. Raises PipelineError if there are not that many.
    """
    if load_backbone(name).build_preset is not None:
        unfreeze_variables(name, backbone, which)
        return
    after = None if cut is None else cut_after(name, load_backbone(name), backbone, cut)[1].layers
    if which == "all":
        _set_trainable(backbone, backbone.layers if after is None else after)
        return
    number, _, unit = str(which).partition(" ")
    groups = (
        split_blocks(load_backbone(name), backbone)
        if unit.startswith("block")
        else [[layer] for layer in keep_weighted(backbone.layers)]
    )
    if int(number) > len(groups):
        what = "blocks" if unit.startswith("block") else "layers with weights"
        raise PipelineError(
            f"recipes.{name}.fine_tune.unfreeze: {name} has {len(groups)} {what}: expected at most that many, received {which}"
        )
    chosen = [layer for group in groups[len(groups) - int(number) :] for layer in group]
    early = [] if after is None else [layer.name for layer in keep_weighted(chosen) if layer not in after]
    if early:
        raise PipelineError(
            f"recipes.{name}.fine_tune.unfreeze: {which} reach before fine_tune.from, block {cut}, up to which the backbone is "
            f"frozen: expected layers after it, or all of these, as all, received {early[0]} too"
        )
    _set_trainable(backbone, chosen)


def unfreeze_variables(name: str, backbone: keras.Model, which: str | int) -> None:
    """The same for a preset, whose layers hold layers: of those that have weights of their own, the last ones."""
    number, _, unit = str(which).partition(" ")
    place = {id(variable): position for position, variable in enumerate(backbone.variables)}
    owners = [layer for layer in backbone._flatten_layers() if layer._trainable_variables]
    owners.sort(key=lambda layer: place[id(layer._trainable_variables[0])])
    count = len(owners) if which == "all" else int(number)
    if unit.startswith("block") or count > len(owners):
        raise PipelineError(
            f"recipes.{name}.fine_tune.unfreeze: {name} is a preset of {len(owners)} layers with weights, whose blocks have no "
            f"numbers: expected all, or at most that many layers, received {which}"
        )
    backbone.trainable = True
    for position, layer in enumerate(owners):
        for variable in layer._trainable_variables:
            variable.trainable = position >= len(owners) - count


def _set_trainable(backbone: keras.Model, chosen: list[keras.Layer]) -> None:
    backbone.trainable = True
    numbers = {id(layer) for layer in chosen}
    for layer in backbone.layers:
        layer.trainable = id(layer) in numbers
