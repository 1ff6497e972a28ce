"""What a search may vary for one family, and whether its space can be searched."""

from collections.abc import Callable
from typing import Any

from pipeline.config.nested import look_up
from pipeline.config.recipe_sections import LinearRecipe, Recipe
from pipeline.config.search_space import (
    Dimension,
    list_points,
    parse_choices_of,
    parse_points,
    parse_space,
    set_parameters,
)
from pipeline.config.sections import Params
from pipeline.config.teachers import find_embedded
from pipeline.runtime.errors import PipelineError

_DECIDE_FEATURES = (
    "augment",
    "backbone",
    "features",
    "input_size",
)  # with these a backbone's features were computed and cached


def list_all_dimensions(params: Params) -> list[Dimension]:
    """Those of `search.space` or, where the sampler takes them, of `search.points`."""
    if params.search.sampler == "points":
        return list(parse_choices_of(params.search.points))
    return parse_space(params.search.space)


def list_dimensions(params: Params, family: str) -> list[Dimension]:
    """The dimensions that one family has: not other families' settings, and on a backbone nothing that its cached features
    depend on. Raises PipelineError for parameters that no search can vary."""
    return [dimension for dimension in list_all_dimensions(params) if _has(family, dimension, params)]


def _place(params: Params) -> str:
    return "search.points" if params.search.sampler == "points" else "search.space"


def _has(family: str, dimension: Dimension, params: Params) -> bool:
    recipe = params.recipes[family]
    section, *path = dimension.name.split(".")
    if section == "train" and path and path != ["seed"]:
        is_network = isinstance(recipe, Recipe)
        is_used = (is_network and (hasattr(recipe, path[0]) or path == ["max_epochs"])) or path == ["class_weight"]
    elif section == "recipes" and len(path) > 1:
        is_used = path.pop(0) == family
        if is_used and (isinstance(recipe, Recipe) or path == ["class_weight"]):
            _check_not_overridden(dimension, path, params)
    else:
        raise PipelineError(
            f"{_place(params)}.{dimension.name}: expected parameters under train (except train.seed) or recipes, which a trial "
            f"can change; try others with `dvc exp run --queue -S '{dimension.name}=…,…'`"
        )
    if path == ["distill", "teacher"]:
        return False
    decides_features = path[0] in _DECIDE_FEATURES or path == ["fine_tune", "from"]
    # A teacher's features are cached, too: `train` decides them as well.
    embedded = params.recipes[find_embedded(params, family)] if section == "train" else recipe
    return is_used and (embedded.backbone is None or not decides_features)


def _check_not_overridden(dimension: Dimension, path: list[str], params: Params) -> None:
    """A recipe's value has no effect where `train` sets or varies it too, or caps the epochs."""
    place, same = _place(params), ".".join(path)
    name = f"{place}.{dimension.name}"
    values = {same: look_up(params.train.model_dump(), tuple(path))}
    if path == ["epochs"] and _exceeds(dimension, params.train.max_epochs):
        values["max_epochs"] = params.train.max_epochs
    for key, value in values.items():
        if value is not None:
            raise PipelineError(
                f"{name}: train.{key} is {value!r} and overrides it: expected null there, or {place}.train.{same} instead"
            )
    if any(other.name == f"train.{same}" for other in list_all_dimensions(params)):
        raise PipelineError(f"{name}: {place}.train.{same} overrides it: expected one of the two, received both")


def _exceeds(dimension: Dimension, cap: int | None) -> bool:
    return cap is not None and any(isinstance(value, int | float) and value > cap for value in dimension.edges)


def check_space(
    params: Params, family: str, content: dict[str, Any], check: Callable[[dict[str, Any]], object]
) -> None:
    """Before anything is trained, raises PipelineError for a space that is empty for a family, or has values that their
    parameters do not take; the ends of ranges are tried.

    content: as `read_params` returns it. check: raises PipelineError for invalid content.
    """
    _check_sampler(params)
    dimensions, place = list_dimensions(params, family), _place(params)
    for dimension in list_all_dimensions(params):  # other families' too: each must be a parameter
        set_parameters(content, {dimension.name: None})
    if not dimensions:
        example = f"recipes.{family}.C" if isinstance(params.recipes[family], LinearRecipe) else "train.learning_rate"
        raise PipelineError(
            f"{place}: there is nothing in it that {family} can vary: expected parameters such as {example}"
        )
    if params.search.sampler == "points":
        for number, point in enumerate(parse_points(params.search.points), 1):
            _try(point, content, check, f"search.points, point {number}")
        return
    for dimension in dimensions:
        for value in dimension.edges:
            _try({dimension.name: value}, content, check, place)
    if params.search.sampler == "grid" and list_points(dimensions) is None:
        _refuse_grid(dimensions)


def _check_sampler(params: Params) -> None:
    is_listed, count = params.search.sampler == "points", len(params.search.points)
    if is_listed and not count:
        raise PipelineError(
            "search.points is empty, but search.sampler is points: expected a list such as [{train.dropout: 0.1}], received []"
        )
    if count and not is_listed:
        raise PipelineError(
            f"search.points lists {count} points, which search.sampler {params.search.sampler} does not try: expected "
            "search.sampler points, or search.points empty"
        )


def _try(
    values: dict[str, Any], content: dict[str, Any], check: Callable[[dict[str, Any]], object], place: str
) -> None:
    """Raises PipelineError where these values are not accepted together."""
    try:
        check(set_parameters(content, values))
    except PipelineError as error:
        raise PipelineError(f"{place}: {error}") from error


def _refuse_grid(dimensions: list[Dimension]) -> None:
    continuous = next((dimension.name for dimension in dimensions if dimension.values is None), None)
    reason = f"{continuous} is continuous: give choices or a step" if continuous else "it has too many points"
    raise PipelineError(f"search.space: expected a finite list of points, as search.sampler is grid; {reason}")
