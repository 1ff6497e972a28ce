"""The sections of params.yaml: every parameter with its type and range."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.config.address import Place
from pipeline.config.families import FAMILIES
from pipeline.config.hosts import Host
from pipeline.config.recipe_sections import LinearRecipe, Recipe, Train, make_recipe_section
from pipeline.config.sources import SOURCES, ReadingSettings, SourceSettings
from pipeline.config.types import (
    CLASS_WORD,
    Caps,
    ClassName,
    Costs,
    Count,
    Encoding,
    ExportFormat,
    Fraction,
    Measure,
    Merges,
    Natural,
    NotNegative,
    Number,
    Pixels,
    Positive,
    Section,
    Seed,
    by_name,
)

_MOST_DEVICES = 64


def _check_source(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"one of {', '.join(SOURCES)}")
    return name


def _check_folds(count: int) -> int:
    if count == 1 or count > 20:
        raise ValueError("0 or 2 to 20")
    return count


def _check_devices(value: Any) -> Any:
    if value != "all" and (type(value) is not int or not 1 <= value <= _MOST_DEVICES):
        raise ValueError(f"1 to {_MOST_DEVICES}, or all")
    return value


def _check_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"a regular expression ({error})") from error
    return text


def _check_prompt(prompt: str) -> str:
    if CLASS_WORD not in prompt:
        raise ValueError(
            f"a text with the word {CLASS_WORD}, where the name of a class stands, such as 'a photo of a {CLASS_WORD}.'"
        )
    return prompt


class Data(ReadingSettings):
    source: Annotated[str, AfterValidator(_check_source)]
    path: Place | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None
    keep: Literal["copy", "reference"]


class Budget(Section):
    """minutes: of a whole run; None: as many as it takes. plan: see pipeline.config.budget."""

    minutes: Positive | None = None
    preset: Literal["fast", "good", "best"] = "good"
    plan: str | None = None


class Prune(Section):
    drop_classes: list[ClassName] | None
    merge_classes: Merges | None
    max_images_per_class: Caps | None
    thin: Literal["all", "train"]
    exclude: Place | None
    relabel: Place | None
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
    group: Literal["exact", "near", "column", "folder", "pattern"]
    group_pattern: Annotated[str, AfterValidator(_check_expression)] | None = None
    order: Literal["content", "time"]
    method: Literal["exact", "independent"]
    near_duplicate: Annotated[Number, Field(gt=0, le=1)]


class Preprocess(Section):
    image_size: Pixels | None
    resize: Literal["stretch", "crop", "letterbox"]
    range: Literal["auto", "full", "minmax"]
    encoding: Encoding
    quality: Annotated[int, Field(ge=1, le=100)]
    num_shards: Annotated[int, Field(ge=1, le=10_000)]
    num_workers: Count | None


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
    sampler: Literal["bayesian", "random", "grid", "points"]
    points: Annotated[list[dict[str, Any]], Field(default_factory=list)]
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
    """costs: see `pipeline.evaluation.measures.make_cost_matrix`. label_folds: 0, or 2 to 20. coverage: of prediction sets, see
    pipeline.evaluation.conformal. false_alarms: of "none of these", see pipeline.evaluation.familiarity. tta: what is averaged,
    see pipeline.models.mirrors. prompts: see pipeline.evaluation.zero_shot."""

    outside_path: Place | None
    choose_by: Measure | None
    costs: Costs
    label_folds: Annotated[Natural, AfterValidator(_check_folds)]
    coverage: Annotated[Number, Field(gt=0, lt=1)]
    false_alarms: Annotated[Number, Field(gt=0, lt=1)]
    tta: Literal["none", "flip"] = "none"
    prompts: Annotated[list[Annotated[str, AfterValidator(_check_prompt)]], Field(default_factory=list)]


class Export(Section):
    """families: chosen (the one that the report recommends), all, or names. max_drop: of accuracy on test, as a fraction, of
    formats that round. calibration_images: of training, for litert_int8."""

    formats: list[ExportFormat]
    families: Literal["chosen", "all"] | list[str]
    max_drop: Fraction
    calibration_images: Count


class Serve(Section):
    """max_batch: pictures. max_waiting: of all requests, as max_waiting_mb. max_files, max_mb, max_seconds: of one request.
    max_connections: further ones are sent away. url_hosts: from whom pictures are fetched; see pipeline.config.hosts."""

    max_batch: Count
    max_waiting: Count
    max_files: Count
    max_mb: Positive
    max_waiting_mb: Positive
    max_seconds: Positive
    max_connections: Count
    url_hosts: Annotated[list[Host], Field(default_factory=list)]


class Runtime(Section):
    """precision: of training, see pipeline.training.precision. xla: compiles the steps of training. devices: that share each
    batch in training, all: GPUs; 1 is in no digest of settings, which are those of before there was more. cluster: where prune,
    preprocess, examine, embed, search and predict run their tasks; ray_address: see pipeline.runtime.cluster. No bytes depend
    on these two: they are in no digest of settings, as `model_dump` leaves them out."""

    onednn: bool
    threads: Count
    portable: bool
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False
    devices: Annotated[
        int | Literal["all"], BeforeValidator(_check_devices), Field(exclude_if=lambda devices: devices == 1)
    ] = 1
    cluster: Annotated[Literal["local", "ray"], Field(exclude=True)] = "local"
    ray_address: Annotated[
        Annotated[str, Field(pattern=r"^(auto|[^\s/]+:[0-9]{1,5})$")] | None, Field(exclude=True)
    ] = None

    @property
    def arithmetic(self) -> dict[str, Any]:
        """Arguments of `configure_tensorflow` where nothing is trained."""
        return self.model_dump(exclude={"precision", "xla", "devices"})

    @property
    def of_one_device(self) -> dict[str, Any]:
        """Arguments of `configure_tensorflow` where training is only measured: what it takes on one device at most."""
        return self.model_dump(exclude={"devices"})


class Params(Section):
    """All parameters, checked, with whole recipes: see `expand_recipes`."""

    budget: Annotated[Budget, Field(default_factory=Budget)]  # younger than many a params.yaml
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
    export: Export
    serve: Serve
    runtime: Runtime

    @property
    def source_settings(self) -> SourceSettings:
        """The settings of the chosen source."""
        return self.sources[self.data.source]

    @property
    def max_images_per_class(self) -> int | dict[str, int] | None:
        """prune's, or else the chosen source's."""
        rule = self.prune.max_images_per_class
        return self.source_settings.max_images_per_class if rule is None else rule

    @property
    def caps_name(self) -> str:
        """The parameter that says `max_images_per_class`."""
        section = f"sources.{self.data.source}" if self.prune.max_images_per_class is None else "prune"
        return f"{section}.max_images_per_class"

    @property
    def image_size(self) -> int:
        """Pixels, each side, of the images in data/tfrecords."""
        return self.preprocess.image_size or self.source_settings.image_size

    @property
    def tta(self) -> str:
        """evaluate.tta, which is among the settings with which a family embeds and trains."""
        return self.evaluate.tta

    def input_size(self, family: str) -> int:
        """Pixels, each side, to which a family's model resizes them."""
        return self.recipes[family].input_size or self.image_size
