"""The only reader of params.yaml: reads it whole, checks it whole, hands out typed sections."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model

from stages.errors import PipelineError
from stages.families import FAMILIES, Family, check_family, check_image_size
from stages.schema import Count, Fraction, Natural, NotNegative, Number, Pixels, Positive, Section, Seed
from stages.sources import SOURCES, SourceSettings
from stages.space import Dimension, Value, list_points, parse_space, set_parameters

AnyRecipe = TypeVar("AnyRecipe", bound="Recipe")

PARAMS_FILE = Path("params.yaml")

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


class _File(Section):
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


def load_params(file: Path = PARAMS_FILE, overrides: Mapping[str, Value] | None = None) -> Params:
    """Reads and checks the whole file. overrides: other values for parameters, by name, as train.dropout. Raises
    PipelineError, one line, naming the parameter that is wrong."""
    return check_params(read_params(file), overrides)


def check_params(content: dict[str, Any], overrides: Mapping[str, Value] | None = None) -> Params:
    """The same from what `read_params` has read."""
    if overrides:
        return _check(set_parameters(content, overrides))
    params = _check(content)
    for family in params.search.families:
        _check_space(params, family, content)
    return params


def parse_yaml(text: str) -> Any:
    """As yaml.safe_load, by the parser in C where there is one: ten times as fast."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_params(file: Path = PARAMS_FILE) -> dict[str, Any]:
    """The file's content, unchecked. Raises PipelineError where it is not there, or no YAML."""
    try:
        content = parse_yaml(file.read_text())
    except FileNotFoundError as error:
        raise PipelineError(f"{file} is not here: run from the project's folder, where dvc.yaml lies") from error
    except yaml.YAMLError as error:
        raise PipelineError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise PipelineError(f"{file}: expected sections such as data and train, received {content!r}")
    return content


def _check(content: dict[str, Any]) -> Params:
    try:
        raw = _File.model_validate(content)
    except ValidationError as error:
        raise PipelineError(_explain(error, "", content)) from error
    _check_families("families", raw.families)
    _check_part("crossval.families", raw.crossval.families, raw.families)
    _check_part("search.families", raw.search.families, raw.families)
    _check_folds(raw.crossval.folds)
    sources = _check_named("sources", raw.sources, {name: settings for name, (_, settings) in SOURCES.items()})
    schemas = {name: _recipe_schema(family) for name, family in FAMILIES.items()}
    recipes = _check_named("recipes", raw.recipes, schemas)
    fields = {name: getattr(raw, name) for name in _File.model_fields}
    params = Params.model_construct(**{**fields, "sources": sources, "recipes": recipes})
    for name in params.families:
        own = params.recipes[name]
        where = f"recipes.{name}.input_size" if own.input_size or own.backbone else "preprocess.image_size"
        check_image_size(name, params.input_size(name), name=where)
        if isinstance(own, Recipe):
            try:
                resolve_recipe(params.train, own)
            except PipelineError as error:
                raise PipelineError(f"{name}: {error}") from error
    return params


@cache
def _recipe_schema(family: Family) -> type[Section]:
    if family.kind == "linear":
        return FeatureLinearRecipe if family.backbone else PixelLinearRecipe
    if family.kind == "transfer":
        return TransferRecipe
    sizes: dict[str, Any] = dict.fromkeys(family.sizes, (Count, ...))
    return create_model("NetworkRecipe", __base__=NetworkRecipe, **sizes) if sizes else NetworkRecipe


def _check_families(parameter: str, families: list[str]) -> None:
    for name in families:
        check_family(name, parameter=parameter)
    twice = sorted({name for name in families if families.count(name) > 1})
    if twice:
        raise PipelineError(f"{parameter}: {', '.join(twice)} is listed twice: expected each once")


def _check_part(parameter: str, part: list[str], families: list[str]) -> None:
    _check_families(parameter, part)
    missing = [name for name in part if name not in families]
    if missing:
        raise PipelineError(
            f"{parameter}: {missing[0]} is not in families, for which features are cached: expected it there too, "
            f"received families {', '.join(families)}"
        )


def _check_folds(folds: list[int]) -> None:
    if len(set(folds)) < len(folds):
        raise PipelineError(f"crossval.folds: expected different numbers, received {folds}")


def list_dimensions(params: Params, family: str) -> list[Dimension]:
    """What of `search.space` can vary in one family: not other families' settings, nothing that it does not have, and on a
    backbone not what its cached features were made with. Raises PipelineError for what no search can vary."""
    return [dimension for dimension in parse_space(params.search.space) if _can_vary(dimension, family, params)]


def _can_vary(dimension: Dimension, family: str, params: Params) -> bool:
    name, own = dimension.name, params.recipes[family]
    section, *path = name.split(".")
    shortest = {"train": 1, "recipes": 2}.get(section)
    if shortest is None or len(path) < shortest or name == "train.seed":
        raise PipelineError(
            f"search.space.{name}: expected parameters under train (but for train.seed) or recipes, that one trial can change; "
            f"try others with `dvc exp run --queue -S '{name}=…,…'`"
        )
    if section == "recipes":
        if path[0] != family:
            return False
        path = path[1:]
        if isinstance(own, Recipe):
            _check_not_overridden(dimension, path, params)
    elif not isinstance(own, Recipe) or not (hasattr(own, path[0]) or path == ["max_epochs"]):
        return False
    return own.backbone is None or path[0] not in ("augment", "backbone", "input_size")


def _check_not_overridden(dimension: Dimension, path: list[str], params: Params) -> None:
    """What `train` sets, or searches itself, makes all values of a recipe the same; so does its cap on epochs beyond it."""
    above, value = ".".join(path), _look_up(params.train, path)
    cap = params.train.max_epochs
    if path == ["epochs"] and value is None and cap is not None and _reaches_beyond(dimension, cap):
        above, value = "max_epochs", cap
    if value is not None:
        raise PipelineError(
            f"search.space.{dimension.name}: train.{above} is {value!r} and overrides it: expected null there, or "
            f"search.space.train.{'.'.join(path)} instead"
        )
    if _look_up_key(params.search.space.get("train"), path) is not None:
        raise PipelineError(
            f"search.space.{dimension.name}: search.space.train.{above} overrides it: expected one of the two, received both"
        )


def _reaches_beyond(dimension: Dimension, cap: int) -> bool:
    return any(isinstance(value, int | float) and value > cap for value in dimension.edges)


def _look_up_key(section: Any, path: list[str]) -> Any:
    for part in path:
        section = section.get(part) if isinstance(section, Mapping) else None
    return section


def _look_up(section: Any, path: list[str]) -> Any:
    for part in path:
        section = getattr(section, part, None)
    return section


def _check_space(params: Params, family: str, content: dict[str, Any]) -> None:
    """Before anything is trained: every value at the edge of the space is one that its parameter takes."""
    dimensions = list_dimensions(params, family)
    for dimension in parse_space(params.search.space):
        set_parameters(content, {dimension.name: None})
    if not dimensions:
        raise PipelineError(
            f"search.space: there is nothing in it that {family} can vary: expected parameters such as "
            f"{'recipes.' + family + '.C' if isinstance(params.recipes[family], LinearRecipe) else 'train.learning_rate'}"
        )
    for dimension in dimensions:
        for value in dimension.edges:
            try:
                _check(set_parameters(content, {dimension.name: value}))
            except PipelineError as error:
                raise PipelineError(f"search.space: {error}") from error
    if params.search.sampler == "grid" and list_points(dimensions) is None:
        endless = next((d.name for d in dimensions if d.values is None), None)
        what = f"{endless} has no end of values: give choices or a step" if endless else "it has too many points"
        raise PipelineError(f"search.space: expected values that can be counted, as search.sampler is grid; {what}")


def _check_named(section: str, content: dict[str, Any], schemas: dict[str, type[Section]]) -> dict[str, Any]:
    for name in set(schemas) ^ set(content):
        if name in schemas:
            raise PipelineError(f"{section}.{name} is missing: expected its settings")
        raise PipelineError(f"{section}.{name} is unknown: expected one of {', '.join(schemas)}")
    checked = {}
    for name, schema in schemas.items():
        try:
            checked[name] = schema.model_validate(content[name])
        except ValidationError as error:
            raise PipelineError(_explain(error, f"{section}.{name}", content[name])) from error
    return checked


def _explain(error: ValidationError, prefix: str, content: Any) -> str:
    """The first thing wrong, as 'train.epochs: expected …, received …'; how many more there are."""
    details = error.errors(include_url=False)
    first = details[0]
    # Where a value may be null, pydantic adds which alternative it tried; people know parameters, not alternatives.
    location = [
        str(part) for part in first["loc"] if not re.search(r"[\[(]|^(int|float|str|bool|list|dict)$", str(part))
    ]
    name = ".".join([prefix, *location] if prefix else location)
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{name} is unknown{_suggest(location, content)}{more}"
    if first["type"] == "missing":
        return f"{name} is missing: params.yaml must have it{more}"
    message = re.sub(r"^(Input|Value|List|String) should (be |have )?|^Value error, ", "", first["msg"])
    return f"{name}: expected {message}, received {first['input']!r}{more}"


def _suggest(location: list[str], content: Any) -> str:
    for part in location[:-1]:
        content = content.get(part, {}) if isinstance(content, dict) else {}
    return f": no parameter has this name; remove {location[-1]!r} or correct it"


def resolve_recipe(train: Train, recipe: AnyRecipe) -> AnyRecipe:
    """The settings with which one family trains: `train` where it says something, the family's own where it is null.

    `train.max_epochs` caps what a recipe says, not what `train.epochs` asks for in so many words. Raises PipelineError for
    two rules that would both set the learning rate.
    """
    resolved = _override(recipe.model_dump(), train.model_dump())
    if train.epochs is None and train.max_epochs is not None:
        resolved["epochs"] = min(resolved["epochs"], train.max_epochs)
    if resolved["schedule"]["kind"] == "cosine" and resolved["reduce_lr"]["patience"] is not None:
        raise PipelineError(
            "schedule.kind cosine sets the learning rate of every step: expected reduce_lr.patience null beside it, received "
            f"{resolved['reduce_lr']['patience']}; take one of the two"
        )
    return type(recipe).model_validate(resolved)


def without_augment(params: Params) -> Params:
    """The same parameters with every augmentation off, whatever a recipe says."""
    none = TrainAugment(flip="none", rotation=0.0, zoom=0.0, contrast=0.0)
    return params.model_copy(update={"train": params.train.model_copy(update={"augment": none})})


def resolve_augment(train: Train, own: Augment) -> Augment:
    """How images are changed for one family: `train.augment` where it says something, else the family's own."""
    return Augment.model_validate(_override(own.model_dump(), train.augment.model_dump()))


def _override(own: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Keys that `above` does not have, such as a recipe's backbone, can't be overridden."""
    return {
        key: _override(value, above[key])
        if isinstance(value, dict) and key in above
        else value
        if above.get(key) is None
        else above[key]
        for key, value in own.items()
    }
