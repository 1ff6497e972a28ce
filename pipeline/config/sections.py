"""The sections of params.yaml: every parameter with its type and range."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, create_model

from pipeline.config.address import refuse_password
from pipeline.config.families import FAMILIES, Family
from pipeline.config.sources import SOURCES, ReadingSettings, SourceSettings
from pipeline.config.types import (
    Count,
    Fraction,
    Natural,
    NotNegative,
    Number,
    Pixels,
    Positive,
    Section,
    Seed,
    by_name,
    make_optional,
)


def _check_source(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"one of {', '.join(SOURCES)}")
    return name


def _check_unfreeze(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not is_count and not (isinstance(value, str) and re.fullmatch(r"all|[1-9]\d* (blocks?|layers?)", value)):
        raise ValueError("all, a number of layers, or a text such as '2 blocks'")
    return value


ClassWeight: TypeAlias = Literal["none", "balanced"]
Flip: TypeAlias = Literal["none", "horizontal", "vertical", "both"]
Monitor: TypeAlias = Literal["val_loss", "val_accuracy"]
Optimizer: TypeAlias = Literal["adam", "adamw", "rmsprop", "sgd"]
ScheduleKind: TypeAlias = Literal["constant", "exponential", "cosine"]
Dropout = Annotated[Number, Field(ge=0, le=0.9)]
Turn = Annotated[Number, Field(ge=0, le=0.5)]  # fraction of a full turn
Unfreeze = Annotated[str | int, BeforeValidator(_check_unfreeze)]


class Data(ReadingSettings):
    source: Annotated[str, AfterValidator(_check_source)]
    path: Annotated[str, AfterValidator(refuse_password)] | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None


class Prune(Section):
    drop_classes: list[str] | None
    merge_classes: dict[str, list[str]] | None
    max_images_per_class: Count | None
    min_images_per_class: Count | None
    seed: Seed
    min_side: Count
    max_megapixels: Positive
    max_seconds: Positive
    max_loss: Annotated[Number, Field(ge=0, le=1)]
    faults: Literal["warn", "quarantine"]
    conflicts: Literal["keep", "drop", "error"]


class Split(Section):
    test_fraction: Annotated[Number, Field(gt=0, lt=1)]
    val_fraction: Annotated[Number, Field(gt=0, lt=1)]
    seed: Seed
    group: Literal["exact", "near", "column"]
    near_duplicate: Annotated[Number, Field(gt=0, le=1)]


class Preprocess(Section):
    image_size: Pixels | None
    resize: Literal["stretch", "crop", "letterbox"]
    range: Literal["auto", "full", "minmax"]
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
    unfreeze: Unfreeze


class Training(Section):
    """Settings of training by gradient descent."""

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


class Recipe(Training):
    """How a network is trained: by its study's settings, or these overridden by `train`."""

    backbone: BackboneSettings | None
    input_size: Pixels | None


class NetworkRecipe(Recipe):
    """How a network is trained from scratch. The family's `sizes` are fields of a subclass."""

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
    """On pixels: no backbone, no resizing, no augmented views."""

    backbone: None
    input_size: None
    augment: None


class FeatureLinearRecipe(LinearRecipe):
    """On a backbone's features."""

    backbone: BackboneSettings
    augment: Augment


def make_recipe_section(family: Family) -> type[Recipe] | type[LinearRecipe]:
    """What the recipe of a family has."""
    if family.kind == "linear":
        return FeatureLinearRecipe if family.backbone else PixelLinearRecipe
    if family.kind == "transfer":
        return TransferRecipe
    sizes: dict[str, Any] = dict.fromkeys(family.sizes, (Count, ...))
    return create_model("NetworkRecipe", __base__=NetworkRecipe, **sizes) if sizes else NetworkRecipe


class Defaults(Section):
    """`recipes.defaults`: for each kind of family what its recipes do not say."""

    network: NetworkRecipe
    transfer: TransferRecipe
    linear: LinearRecipe


class TrainBase(Section):
    """What `train` has besides overrides of recipes."""

    seed: Seed
    max_epochs: Count | None
    cache_gb: NotNegative
    shuffle_buffer: Count


if TYPE_CHECKING:

    class Train(TrainBase, Training):
        """Overrides of every recipe. Each setting of Training may be None, which mypy can't see: the recipe's value holds."""
else:
    Train = make_optional("Train", Training, TrainBase)


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


class Faults(Section):
    """From which value on an image is listed; see `pipeline.data.faults`.

    dark: 99th percentile of brightness, 0 to 1, or less. bright: 5th percentile, or more. range: distance of the 1st and 99th
    percentile of grey, 0 to 255, or less. blurry: edges over contrast, or less. information: a tenth of the entropy, in bits,
    or less. aspect, size: how many times as long, or as large, as the median of the class, or the other way round.
    """

    dark: Fraction
    bright: Annotated[Number, Field(gt=0, le=1)]
    range: NotNegative
    blurry: NotNegative
    information: Fraction
    aspect: Annotated[Number, Field(gt=1)]
    size: Annotated[Number, Field(gt=1)]


class Examine(Section):
    near_duplicate: Annotated[Number, Field(gt=0, le=1)]
    faults: Faults


class Evaluate(Section):
    outside_path: str | None


class Runtime(Section):
    onednn: bool


class Params(Section):
    """All parameters, checked, with whole recipes: see `expand_recipes`."""

    data: Data
    sources: Annotated[dict[str, SourceSettings], by_name({name: section for name, (_, section) in SOURCES.items()})]
    prune: Prune
    split: Split
    preprocess: Preprocess
    examine: Examine
    embed: Embed
    families: Annotated[list[str], Field(min_length=1)]
    train: Train
    recipes: Annotated[
        dict[str, Recipe | LinearRecipe],
        by_name({name: make_recipe_section(family) for name, family in FAMILIES.items()}),
    ]
    evaluate: Evaluate
    crossval: Crossval
    search: Search
    runtime: Runtime

    @property
    def source_settings(self) -> SourceSettings:
        """The settings of the chosen source."""
        return self.sources[self.data.source]

    @property
    def image_size(self) -> int:
        """Pixels, each side, of the images in data/tfrecords."""
        return self.preprocess.image_size or self.source_settings.image_size

    def input_size(self, family: str) -> int:
        """Pixels, each side, to which a family's model resizes them."""
        return self.recipes[family].input_size or self.image_size
