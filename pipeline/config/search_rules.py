"""What a search may vary in one family, and whether its space can be searched."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.config.search_space import Dimension, list_points, parse_space, set_parameters
from pipeline.config.sections import LinearRecipe, Params, Recipe
from pipeline.runtime.errors import PipelineError


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


def check_space(
    params: Params, family: str, content: dict[str, Any], check: Callable[[dict[str, Any]], object]
) -> None:
    """Before anything is trained: every value at the edge of the space is one that its parameter takes.

    content: of params.yaml. check: raises PipelineError for a content that is not valid."""
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
                check(set_parameters(content, {dimension.name: value}))
            except PipelineError as error:
                raise PipelineError(f"search.space: {error}") from error
    if params.search.sampler == "grid" and list_points(dimensions) is None:
        endless = next((d.name for d in dimensions if d.values is None), None)
        what = f"{endless} has no end of values: give choices or a step" if endless else "it has too many points"
        raise PipelineError(f"search.space: expected values that can be counted, as search.sampler is grid; {what}")
