"""How a family trains, as params.yaml says it: `train`, `recipes` and `recipes.defaults`, with types and ranges."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, create_model, field_validator

from pipeline.config.address import Place
from pipeline.config.families import Family
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
    Share,
    make_optional,
)


def _check_unfreeze(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not is_count and not (isinstance(value, str) and re.fullmatch(r"all|[1-9]\d* (blocks?|layers?)", value)):
        raise ValueError("all, a number of layers, or a text such as '2 blocks'")
    return value


def _check_features(value: list[int]) -> list[int]:
    if value != sorted(set(value)):
        raise ValueError("numbers of blocks, each once, in ascending order")
    return value


def _check_cut(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"block [1-9]\d*", value):
        raise ValueError("a text such as 'block 12', or null")
    return value


ClassWeight: TypeAlias = Literal["none", "balanced"]
Flip: TypeAlias = Literal["none", "horizontal", "vertical", "both", "alternate"]
Monitor: TypeAlias = Literal["val_loss", "val_accuracy"]
Oversample: TypeAlias = Literal["none", "balanced"]
Optimizer: TypeAlias = Literal["adam", "adamw", "rmsprop", "sgd", "nesterov"]
Restore: TypeAlias = Literal["best", "last"]
Solver: TypeAlias = Literal["fast", "svc"]
ScheduleKind: TypeAlias = Literal["constant", "exponential", "cosine", "one_cycle"]
Dropout = Annotated[Number, Field(ge=0, le=0.9)]
Turn = Annotated[Number, Field(ge=0, le=0.5)]  # fraction of a full turn
Features = Annotated[list[Count], AfterValidator(_check_features)]  # blocks of a backbone, from 1, the first
Cut = Annotated[str, BeforeValidator(_check_cut)]
Unfreeze = Annotated[str | int, BeforeValidator(_check_unfreeze)]


class Augment(Section):
    """Those with a default are younger than many a params.yaml, which may lack them."""

    flip: Flip
    rotation: Turn
    zoom: Fraction
    contrast: Fraction
    brightness: Fraction = 0.0
    shift: Fraction = 0.0
    crop: Fraction = 0.0
    translate: Fraction = 0.0
    erase: Fraction = 0.0
    randaugment: Share = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, and so their labels: what nobody can do with cached features."""
        return max(self.mixup, self.cutmix) > 0

    @property
    def is_active(self) -> bool:
        """Whether anything is augmented."""
        return self != NO_AUGMENT

    @property
    def mirrors(self) -> bool:
        """Whether training sees images mirrored left to right."""
        return self.flip in ("horizontal", "both", "alternate")


NO_AUGMENT = Augment(flip="none", rotation=0.0, zoom=0.0, contrast=0.0)


def spell_out_augment(value: Any) -> Any:
    """The settings that `augment: none` stands for; anything else as it is."""
    return NO_AUGMENT.model_dump() if value == "none" else value


class EarlyStopping(Section):
    monitor: Monitor
    patience: Count | None
    restore: Restore
    give_up_below: Share | None = None


class ReduceLr(Section):
    monitor: Monitor
    factor: Annotated[Number, Field(gt=0, lt=1)]
    patience: Count | None
    min_lr: NotNegative
    min_delta: NotNegative


class Schedule(Section):
    kind: ScheduleKind
    hold_epochs: Natural
    decay: NotNegative
    warmup_epochs: Natural
    step_decay: NotNegative


class BackboneSettings(Section):
    """preset: of KerasHub, which families in PRESETS alone have."""

    weights: Annotated[Place, Field(min_length=1)]
    preset: Annotated[Place, Field(min_length=1)] | None = None


class FineTuneBase(Section):
    """Those with a default are younger than many a params.yaml. batch_size, schedule: None: as the head's. mixup: of images,
    or of activations at the cut."""

    epochs: Natural
    learning_rate: Positive
    optimizer: Optimizer
    unfreeze: Unfreeze
    start: Literal["head", "fresh"]
    batch_size: Count | None = None
    schedule: Schedule | None = None
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0
    mixup: NotNegative = 0.0
    layer_decay: Annotated[Number, Field(gt=0, le=1)] = 1.0
    early_stopping: EarlyStopping
    reduce_lr: ReduceLr

    @property
    def cut(self) -> int | None:
        """The last block that stays frozen, from 1, the first, where its outputs are kept; None: training sees pixels."""
        value = getattr(self, "from")
        return None if value is None or not self.epochs else int(value.split()[1])


# `from` is a word of Python: no class can declare it.
FineTune: TypeAlias = FineTuneBase
if not TYPE_CHECKING:
    FineTune = create_model("FineTune", __base__=FineTuneBase, **{"from": (Cut | None, None)})


class Augmented(Section):
    """What has `augment`, for all of which the word none stands."""

    @field_validator("augment", mode="before", check_fields=False)
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        return spell_out_augment(value)


class Training(Augmented):
    """Settings of training by gradient descent. Those with a default are younger than many a params.yaml. weight_decay: 0: as
    the optimizer has it."""

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
    oversample: Oversample = "none"
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0
    weight_decay: NotNegative = 0.0

    @property
    def has_soft_labels(self) -> bool:
        """Whether training sees rows of probabilities instead of class numbers."""
        return self.label_smoothing > 0 or self.augment.mixes


class Recipe(Training):
    """How a network is trained: by its study's settings, or these overridden by `train`."""

    backbone: BackboneSettings | None
    input_size: Pixels | None


class Distill(Section):
    """What a network learns from a better model. teacher: a family on a backbone; None: nothing. weight: of what it says, in
    the loss; the rest is of labels. temperature: of both models' probabilities, where they are compared."""

    teacher: str | None
    weight: Share
    temperature: Positive


class NetworkRecipe(Recipe):
    """How a network is trained from scratch. The family's `sizes` and `rates` are fields of a subclass."""

    backbone: None
    distill: Distill | None = None


class TransferRecipe(Recipe):
    """How a new head is trained on a backbone, and the backbone with it."""

    backbone: BackboneSettings
    features: Features = Field(default_factory=list)
    standardize: bool = False
    fine_tune: FineTune

    @property
    def starts_fresh(self) -> bool:
        """Whether the whole network trains on pixels from the first epoch, so that cached features are of no use."""
        return self.fine_tune.epochs > 0 and self.fine_tune.start == "fresh"


class LinearRecipe(Augmented):
    """How a linear support-vector machine is trained, on pixels or on a backbone's features."""

    backbone: BackboneSettings | None
    features: Features | None = None
    standardize: bool | None = None
    input_size: Pixels | None
    augment: Augment | None
    solver: Solver
    C: Positive
    max_iterations: Count
    max_gb: Positive
    class_weight: ClassWeight


class PixelLinearRecipe(LinearRecipe):
    """On pixels: no backbone, no resizing, no augmented views."""

    backbone: None
    features: None = None
    standardize: None = None
    input_size: None
    augment: None


class FeatureLinearRecipe(LinearRecipe):
    """On a backbone's features."""

    backbone: BackboneSettings
    features: Features = Field(default_factory=list)
    standardize: bool = False
    augment: Augment


def make_recipe_section(family: Family) -> type[Recipe] | type[LinearRecipe]:
    """What the recipe of a family has."""
    if family.kind == "linear":
        return FeatureLinearRecipe if family.backbone else PixelLinearRecipe
    if family.kind == "transfer":
        return TransferRecipe
    own: dict[str, Any] = dict.fromkeys(family.sizes, (Count, ...)) | dict.fromkeys(family.rates, (Dropout, ...))
    return create_model("NetworkRecipe", __base__=NetworkRecipe, **own) if own else NetworkRecipe


class Defaults(Section):
    """`recipes.defaults`: for each kind of family what its recipes do not say."""

    network: NetworkRecipe
    transfer: TransferRecipe
    linear: LinearRecipe


class TrainBase(Augmented):
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
