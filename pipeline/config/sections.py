"""The sections of params.yaml: every parameter with its type and range."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.config.sources import SOURCES, SourceSettings
from pipeline.config.types import Count, Fraction, Natural, NotNegative, Number, Pixels, Positive, Section, Seed

Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]


Flip = Literal["none", "horizontal", "vertical", "both"]


Monitor = Literal["val_loss", "val_accuracy"]


ClassWeight = Literal["none", "balanced"]


Turn = Annotated[Number, Field(ge=0, le=0.5)]


Dropout = Annotated[Number, Field(ge=0, le=0.9)]


ScheduleKind = Literal["constant", "exponential", "cosine"]


Unfreeze = str | int


def _check_unfreeze(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not whole and not (isinstance(value, str) and re.fullmatch(r"all|[1-9]\d* (blocks?|layers?)", value)):
        raise ValueError("all, a number of layers, or as in '2 blocks'")
    return value


def _check_source(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"one of {', '.join(SOURCES)}")
    return name


class Data(Section):
    source: Annotated[str, AfterValidator(_check_source)]
    path: str | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None


class Prune(Section):
    drop_classes: list[str] | None
    merge_classes: dict[str, list[str]] | None
    max_images_per_class: Count | None
    min_images_per_class: Count | None
    seed: Seed
    min_side: Count
    max_megapixels: Positive


class Split(Section):
    test_fraction: Annotated[Number, Field(gt=0, lt=1)]
    val_fraction: Annotated[Number, Field(gt=0, lt=1)]
    seed: Seed


class Preprocess(Section):
    image_size: Pixels | None
    resize: Literal["stretch", "crop", "letterbox"]
    num_shards: Annotated[int, Field(ge=1, le=10_000)]
    num_workers: Count | None


class Augment(Section):
    flip: Flip
    rotation: Turn
    zoom: Fraction
    contrast: Fraction


class EarlyStopping(Section):
    monitor: Monitor
    patience: Count | None


class ReduceLr(Section):
    factor: Annotated[Number, Field(gt=0, lt=1)]
    patience: Count | None
    min_lr: NotNegative


class Schedule(Section):
    kind: ScheduleKind
    hold_epochs: Natural
    decay: NotNegative
    warmup_epochs: Natural


class BackboneSettings(Section):
    weights: Annotated[str, Field(min_length=1)]


class FineTune(Section):
    epochs: Natural
    learning_rate: Positive
    optimizer: Optimizer
    unfreeze: Annotated[Unfreeze, BeforeValidator(_check_unfreeze)]


class Recipe(Section):
    """How a network is trained: a family's published settings, or these overridden by `train`."""

    backbone: BackboneSettings | None
    input_size: Pixels | None
    epochs: Count
    batch_size: Count
    optimizer: Optimizer
    learning_rate: Positive
    dropout: Dropout
    l2: NotNegative
    width: Positive
    head_units: Natural
    augment: Augment
    early_stopping: EarlyStopping
    reduce_lr: ReduceLr
    schedule: Schedule
    class_weight: ClassWeight


class NetworkRecipe(Recipe):
    """How a network is trained from scratch. A family's own `sizes` come to it."""

    backbone: None


class TransferRecipe(Recipe):
    """How a new head is trained on a backbone, and the backbone with it."""

    backbone: BackboneSettings
    fine_tune: FineTune


class LinearRecipe(Section):
    """How a linear support-vector machine is trained, on pixels or on a backbone's features."""

    backbone: BackboneSettings | None
    input_size: Pixels | None
    augment: Augment | None
    C: Positive
    max_iterations: Count
    max_gb: Positive
    class_weight: ClassWeight


class PixelLinearRecipe(LinearRecipe):
    """On pixels: no backbone, no size of its own, no changed views."""

    backbone: None
    input_size: None
    augment: None


class FeatureLinearRecipe(LinearRecipe):
    """On a backbone's features."""

    backbone: BackboneSettings
    augment: Augment


class Embed(Section):
    views: Annotated[int, Field(ge=0, le=1000)]
    dtype: Literal["float16", "float32"]
    batch_size: Count
    seed: Seed


class Crossval(Section):
    families: list[str]
    folds: Annotated[list[Natural], Field(min_length=2)]
    seed: Seed
    augment: bool


class Pruning(Section):
    min_trials: Count | None
    min_epochs: Count


class Search(Section):
    families: list[str]
    sampler: Literal["bayesian", "random", "grid"]
    trials: Count
    minutes: Positive | None
    score: Literal["validation", "crossval"]
    seed: Seed
    max_parameters: Count
    pruning: Pruning
    space: dict[str, Any]


class Examine(Section):
    near_duplicate: Annotated[Number, Field(gt=0, le=1)]


class Evaluate(Section):
    outside_path: str | None


class TrainAugment(Section):
    flip: Flip | None
    rotation: Turn | None
    zoom: Fraction | None
    contrast: Fraction | None


class TrainEarlyStopping(Section):
    monitor: Monitor | None
    patience: Count | None


class TrainReduceLr(Section):
    factor: Annotated[Number, Field(gt=0, lt=1)] | None
    patience: Count | None
    min_lr: NotNegative | None


class TrainSchedule(Section):
    kind: ScheduleKind | None
    hold_epochs: Natural | None
    decay: NotNegative | None
    warmup_epochs: Natural | None


class Train(Section):
    seed: Seed
    epochs: Count | None
    max_epochs: Count | None
    cache_gb: NotNegative
    shuffle_buffer: Count
    batch_size: Count | None
    optimizer: Optimizer | None
    learning_rate: Positive | None
    dropout: Dropout | None
    l2: NotNegative | None
    width: Positive | None
    head_units: Natural | None
    augment: TrainAugment
    early_stopping: TrainEarlyStopping
    reduce_lr: TrainReduceLr
    schedule: TrainSchedule
    class_weight: ClassWeight | None


class Runtime(Section):
    onednn: bool


class ParamsFile(Section):
    """params.yaml as it is written; sources and recipes are checked against their own declarations."""

    data: Data
    sources: dict[str, Any]
    prune: Prune
    split: Split
    preprocess: Preprocess
    examine: Examine
    embed: Embed
    families: Annotated[list[str], Field(min_length=1)]
    train: Train
    recipes: dict[str, Any]
    evaluate: Evaluate
    crossval: Crossval
    search: Search
    runtime: Runtime


class Params(Section):
    """All parameters, checked. `sources` holds the chosen source's settings, `recipes` one a known family."""

    data: Data
    sources: dict[str, SourceSettings]
    prune: Prune
    split: Split
    preprocess: Preprocess
    examine: Examine
    embed: Embed
    families: list[str]
    train: Train
    recipes: dict[str, Recipe | LinearRecipe]
    evaluate: Evaluate
    crossval: Crossval
    search: Search
    runtime: Runtime

    @property
    def source_settings(self) -> SourceSettings:
        """What the chosen source brings along."""
        return self.sources[self.data.source]

    @property
    def image_size(self) -> int:
        """Pixels, each side, of the images in data/tfrecords."""
        return self.preprocess.image_size or self.source_settings.image_size

    def input_size(self, family: str) -> int:
        """Pixels, each side, to which a family's model brings them."""
        return self.recipes[family].input_size or self.image_size
