"""KerasHub's presets as backbones: DINOv2, SigLIP, ViT and other networks for images, from its hubs or from a folder. Imports
Keras, and KerasHub, an extra, only where a preset is used."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from pipeline.models.archive import RefusedError, check_preset
from pipeline.models.backbones.backbone import Backbone
from pipeline.models.backbones.presets import check_preset_place
from pipeline.runtime.errors import PipelineError

_TOWERS = ("vision_encoder", "image_encoder")  # of presets that have one for images and one for text


def build_preset(preset: str | None, input_size: int, *, weighted: bool, parameter: str) -> keras.Model:
    """RGB 0–255, (batch, input_size, input_size, 3), to feature maps, (batch, rows, columns, channels).

    The preset's scaling of pixels, its network, and, where that gives tokens, one place with the class token, if there is one,
    and the mean over patches (the features of DINOv2's linear probe: Oquab et al. 2023, arXiv:2304.07193).

    preset: a name that KerasHub knows, a handle such as hf://…, or a folder. weighted: with the preset's weights, else with
    random ones. parameter: the one that names it. Raises PipelineError for what is no preset of a network for images, for an
    input size that it does not take, and where its files can't be had.
    """
    if preset is None:
        raise PipelineError(f"{parameter} is null: expected a preset of KerasHub, such as dinov2_small, or a folder")
    folder = check_preset_place(preset, parameter)
    if folder is not None:
        check_folder(folder, parameter)
    place = str(folder) if folder is not None else preset
    scale = _load_scale(place, parameter)
    tower = _load_tower(place, input_size, weighted=weighted, parameter=parameter)
    images = keras.Input((input_size, input_size, 3), name="image")
    scaled = scale(images)
    tokens = tower({"images": scaled} if isinstance(tower.input, Mapping) else scaled)
    return keras.Model(images, _make_map(tokens, tower, input_size), name="preset")


def check_folder(folder: Path, parameter: str, check: Callable[[Path], None] = check_preset) -> None:
    """Raises PipelineError for a folder that is damaged, or of more than KerasHub's own parts and plain arrays."""
    try:
        check(folder)
    except MemoryError:
        raise
    except Exception as error:  # json and h5py raise whatever type the damage leads to
        refused = isinstance(error, RefusedError)
        what = "is refused" if refused else f"can't be read ({type(error).__name__})"
        raise PipelineError(
            f"{parameter}: the folder {folder} {what}: {read_reason(error)}; expected a preset as KerasHub saves it"
        ) from error


def _load_scale(place: str, parameter: str) -> keras.Layer:
    """How the preset wants its pixels, as a layer of Keras itself."""
    import keras_hub

    try:
        converter = keras_hub.layers.ImageConverter.from_preset(place)
    except MemoryError:
        raise
    except Exception as error:  # KerasHub and its hubs raise many types
        raise PipelineError(
            f"{parameter}: {place} does not say how pixels are scaled ({type(error).__name__}: {read_reason(error)}): expected "
            "a preset of a network for images that KerasHub knows, with image_converter.json, reachable from here"
        ) from error
    scale, offset = (1.0 if converter.scale is None else converter.scale), converter.offset
    return layers.Rescaling(scale, 0.0 if offset is None else offset, name="scale")


def _load_tower(place: str, input_size: int, *, weighted: bool, parameter: str) -> keras.Model:
    """The network for images; of a preset that has one for text too, that alone."""
    import keras_hub

    load = keras_hub.models.Backbone.from_preset
    try:
        try:
            model = load(place, load_weights=weighted, image_shape=(input_size, input_size, 3))
        except TypeError:  # one that takes its size from a part of itself
            model = load(place, load_weights=weighted)
    except MemoryError:
        raise
    except Exception as error:
        raise PipelineError(
            f"{parameter}: {place} can't be loaded for images of {input_size} px ({type(error).__name__}: "
            f"{read_reason(error)}): expected a preset that takes this size, see input_size, and whose files can be had"
        ) from error
    tower = next((getattr(model, name) for name in _TOWERS if hasattr(model, name)), model)
    taken = getattr(tower, "image_shape", (input_size,))[0]
    if taken not in (None, input_size):
        raise PipelineError(
            f"{parameter}: {place} takes images of {taken} px: expected that as input_size, received {input_size}"
        )
    return tower


def _make_map(output: Any, tower: keras.Model, input_size: int) -> keras.KerasTensor:
    """(batch, rows, columns, channels), whatever a network gives."""
    if isinstance(output, Mapping):
        output = output.get("sequence_output", next(iter(output.values())))
    if len(output.shape) == 4:
        return output
    if len(output.shape) == 3:
        before = _count_before(tower, output.shape[1], input_size)
        patches = ops.mean(output[:, before:], axis=1)
        output = layers.Concatenate()([output[:, 0], patches]) if before else patches
    return layers.Reshape((1, 1, output.shape[-1]))(output)


def _count_before(tower: keras.Model, tokens: int, input_size: int) -> int:
    """Tokens that come before those of the patches: of the class, and registers."""
    size = getattr(tower, "patch_size", None)
    side = size[0] if isinstance(size, tuple | list) else size
    patches = (input_size // side) ** 2 if side else math.isqrt(tokens) ** 2
    return max(0, tokens - patches)


def read_reason(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:200]


def _refuse(*_: object) -> keras.Model:
    raise NotImplementedError("a preset is built by `build_preset`")


PRESET = Backbone(build=_refuse, load=_refuse, scale=lambda x: x, block_end="", build_preset=build_preset)
