"""Disk space and memory that a run needs, about. Pure."""

import math
from dataclasses import dataclass

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import LinearRecipe, Recipe
from pipeline.config.recipes import embeds_mirrors, resolve_family, trains_on_features
from pipeline.config.sections import Params
from pipeline.config.teachers import find_embedded, list_trained
from pipeline.data.guarded import make_bounds
from pipeline.data.pixel_encoding import is_lossy
from pipeline.data.tfrecords import record_length
from pipeline.doctor.minutes import count_rows, count_views
from pipeline.doctor.pictures import Trials
from pipeline.doctor.speed import Speed

_MOST_FEATURES = 2048  # of all backbones, where none was measured
_NAME_BYTES = 64  # of a file's name, in a record
_LOSSY, _LOSSLESS = 0.5, 0.9  # of raw pixels, what encoded ones take at most: of 32 px, full of detail
_CUT_BYTES = 2  # of an activation's number, in float16
_RUNTIME = 1.3e9  # bytes that TensorFlow takes, where nothing was measured
_DECODED = 16  # bytes per pixel of a picture that is decoded, twice what it has as RGBA


@dataclass(frozen=True)
class DiskNeeds:
    """Bytes of what the stages write, each once."""

    raw: int
    tfrecords: int
    embeddings: int
    models: int

    @property
    def total(self) -> int:
        return self.raw + self.tfrecords + self.embeddings + self.models


@dataclass(frozen=True)
class MemoryNeeds:
    """Bytes. decode: of all workers, with the largest picture of the sample in each. worst: with the largest that prune takes.
    train: of the family that needs most, with the training pictures or features that it keeps. linear: of a linear machine."""

    decode: int
    worst: int
    train: int
    linear: int

    @property
    def most(self) -> int:
        return max(self.decode, self.train, self.linear)


def estimate_disk(
    params: Params, splits: dict[str, int], num_found: int, trials: Trials, speeds: dict[str, Speed]
) -> DiskNeeds:
    """num_found: pictures of the source, before prune leaves any out."""
    count = sum(splits.values())
    preprocess = params.preprocess
    record = record_length(params.image_size, label=0, image_id="i" * 64, name="n" * _NAME_BYTES)
    if preprocess.encoding != "raw":
        record = int(record * (_LOSSY if is_lossy(preprocess.encoding, preprocess.quality) else _LOSSLESS))
    embeddings = models = 0
    for family in params.families:
        models += 4 * speeds.get(family, Speed(family)).parameters
        source = find_embedded(params, family)
        speed, recipe = speeds.get(source, Speed(source)), resolve_family(params, source)
        embeddings += count_rows(params, source, splits) * _count_bytes(speed, params)
        if trains_on_features(recipe):
            views, mirrored = count_views(recipe, params.embed.views), embeds_mirrors(params, source)
            embeddings += measure_activations(splits, views, speed.cut_numbers, mirrored=mirrored)
    raw = 0 if params.data.keep == "reference" else num_found * trials.mean_bytes
    return DiskNeeds(int(raw), count * record, embeddings, models)


def measure_activations(splits: dict[str, int], views: int, numbers: int, *, mirrored: bool = False) -> int:
    """Bytes that the activations at a cut take, of train with its augmented views and of val, and of the mirror images of both.
    numbers: of an image."""
    images = splits["train"] * (1 + views + mirrored) + splits["val"] * (1 + mirrored)
    return images * numbers * _CUT_BYTES


def _count_bytes(speed: Speed, params: Params) -> int:
    """Of one row of features."""
    return (speed.num_features or _MOST_FEATURES) * (2 if params.embed.dtype == "float16" else 4)


def estimate_memory(
    params: Params, splits: dict[str, int], trials: Trials, speeds: dict[str, Speed], cores: int
) -> MemoryNeeds:
    """cores: workers that decode."""
    runtime = max((speed.peak for speed in speeds.values()), default=0) or int(_RUNTIME)
    train = linear = 0
    for family in list_trained(params):
        recipe = resolve_family(params, family)
        if isinstance(recipe, LinearRecipe):
            linear = max(linear, runtime + _keep_linear(family, recipe, params, splits, speeds))
        else:
            train = max(train, runtime + _keep(family, recipe, params, splits, speeds))
    bounds = make_bounds(max_seconds=params.prune.max_seconds, max_megapixels=params.prune.max_megapixels)
    return MemoryNeeds(cores * math.prod(trials.largest) * _DECODED, cores * bounds.memory, train, linear)


def _keep(family: str, recipe: Recipe, params: Params, splits: dict[str, int], speeds: dict[str, Speed]) -> int:
    """What stays in memory while a network or a head trains: all of train, if train.cache_gb allows it; features
    twice, as tf.data copies a tensor."""
    if trains_on_features(recipe):
        row = _count_bytes(speeds.get(family, Speed(family)), params)
        size = row * splits["train"] * (1 + count_views(recipe, params.embed.views))
        return 2 * size if size <= params.train.cache_gb * 1e9 else 0
    picture = params.image_size**2 * 3
    size = picture * splits["train"]
    kept = size if size <= params.train.cache_gb * 1e9 else picture * min(params.train.shuffle_buffer, splits["train"])
    return kept + picture * splits["val"]


def _keep_linear(
    family: str, recipe: LinearRecipe, params: Params, splits: dict[str, int], speeds: dict[str, Speed]
) -> int:
    """Training data as float32, up to max_gb; its centred copy; and its coordinates. Of SVC, as float32 and float64."""
    width = params.image_size**2 * 3
    if FAMILIES[family].backbone:
        width = speeds.get(family, Speed(family)).num_features or _MOST_FEATURES
    rows = splits["train"] * (1 + count_views(recipe, params.embed.views))
    return int(3 * min(recipe.max_gb * 1e9, 4 * width * rows))
