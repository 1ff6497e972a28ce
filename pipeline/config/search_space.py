"""What a search may vary: dimensions, read from `search.space` of params.yaml and checked; and parameters set by name."""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from pydantic import ValidationError

from pipeline.config.types import Count, Number, Positive, Section
from pipeline.runtime.errors import PipelineError

Value: TypeAlias = bool | int | float | str | None
_DIGITS = 4  # significant ones of a drawn number: more would only be tedious to type
_MOST_VALUES = 100_000  # that a range with steps may have to count as a list


class _RangeSettings(Section):
    low: int | Number
    high: int | Number
    log: bool = False
    step: Count | Positive | None = None


@dataclass(frozen=True)
class Choices:
    """A parameter that takes one of a few values."""

    name: str
    values: tuple[Value, ...]

    @property
    def edges(self) -> tuple[Value, ...]:
        """The values at which it is checked whether the parameter takes them."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A parameter that takes numbers from low to high, both included; whole numbers if `whole`. log: equally often from
    0.001 to 0.01 as from 0.01 to 0.1. step: multiples of it above low only, of which high is the last."""

    name: str
    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    @property
    def edges(self) -> tuple[Value, ...]:
        """The values at which it is checked whether the parameter takes them."""
        return (self.low, self.high) if self.step is None else (self.tidy(self.low), self.tidy(self.high))

    @property
    def values(self) -> tuple[Value, ...] | None:
        """All of them, where they can be listed."""
        step = 1 if self.whole and self.step is None else self.step
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.tidy(self.low + number * step) for number in range(count)) if count <= _MOST_VALUES else None

    def tidy(self, value: float) -> int | float:
        """The number as it is trained with and shown: whole, some steps above low, or with four significant digits."""
        if self.whole:
            return round(value)
        if self.step is not None:
            return float(f"{self.low + round((value - self.low) / self.step) * self.step:.10g}")
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


Dimension: TypeAlias = Choices | Range


def parse_space(space: Mapping[str, Any]) -> list[Dimension]:
    """The dimensions, in the order in which they are written. space: nested like params.yaml; where a parameter's value would
    stand, a list of choices, or a mapping with low, high, and log or step. Raises PipelineError, one line, naming the one that
    is wrong."""
    return [_parse(name, leaf) for name, leaf in _walk(space, ())]


def _walk(space: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in space.items():
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            yield from _walk(value, (*path, str(key)))
        else:
            yield ".".join((*path, str(key))), value


def _parse(name: str, leaf: Any) -> Dimension:
    where = f"search.space.{name}"
    if isinstance(leaf, list):
        return _parse_choices(name, leaf, where)
    if not isinstance(leaf, Mapping):
        raise PipelineError(
            f"{where}: expected a list of choices, or low and high, as in {{low: 0.1, high: 0.5}}, received {leaf!r}"
        )
    try:
        range_ = _RangeSettings.model_validate(dict(leaf))
    except ValidationError as error:
        # Where a value may be whole or not, the first complaint is that it isn't whole, which it need not be.
        complaints = error.errors(include_url=False)
        first = next((c for c in complaints if not c["type"].endswith("_type")), complaints[0])
        raise PipelineError(
            f"{where}: expected numbers low and high, and perhaps log: true or step, received {dict(leaf)!r} "
            f"({first['loc'][0]}: {first['msg']})"
        ) from error
    if range_.low >= range_.high:
        raise PipelineError(f"{where}: expected low below high, received low {range_.low} and high {range_.high}")
    if range_.log and range_.low <= 0:
        raise PipelineError(f"{where}: expected low above 0, as log is true, received {range_.low}")
    if range_.log and range_.step is not None:
        raise PipelineError(f"{where}: expected log: true or step, not both, received step {range_.step}")
    if range_.step is not None and range_.step > range_.high - range_.low:
        raise PipelineError(
            f"{where}: expected a step of at most high - low, received step {range_.step} from {range_.low} to {range_.high}"
        )
    whole = isinstance(range_.low, int) and isinstance(range_.high, int) and isinstance(range_.step, int | None)
    high = range_.high
    if range_.step is not None:
        high = range_.low + math.floor((range_.high - range_.low) / range_.step + 1e-9) * range_.step
    step = 1 if whole and range_.step is None and not range_.log else range_.step
    return Range(name, range_.low, high, range_.log, step, whole)


def _parse_choices(name: str, values: list[Any], where: str) -> Choices:
    if not values:
        raise PipelineError(f"{where}: expected one choice or more, received an empty list")
    for number, value in enumerate(values):
        if not isinstance(value, bool | int | float | str | None):
            raise PipelineError(f"{where}: expected numbers, words, true, false or null as choices, received {value!r}")
        if value in values[:number]:
            raise PipelineError(f"{where}: expected each choice once, received {value!r} twice")
    return Choices(name, tuple(values))


def list_points(dimensions: list[Dimension]) -> list[dict[str, Value]] | None:
    """Every point of the space, the last dimension changing fastest; None where a dimension has no list of values, or the
    points are too many to list."""
    values = [dimension.values for dimension in dimensions]
    if any(listed is None for listed in values) or math.prod(len(listed or ()) for listed in values) > _MOST_VALUES:
        return None
    names = [dimension.name for dimension in dimensions]
    return [dict(zip(names, point, strict=True)) for point in product(*(listed or () for listed in values))]


def set_parameters(content: dict[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """A copy of what params.yaml says, with other values. values: by name, as train.dropout. Raises PipelineError for a name
    that is not there."""
    changed = copy.deepcopy(content)
    for name, value in values.items():
        *path, last = name.split(".")
        section: Any = changed
        for part in path:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise PipelineError(f"{name} is unknown: expected the name of a parameter in params.yaml, as train.dropout")
        section[last] = value
    return changed


def remove_parameters(content: Mapping[str, Any], names: set[str], prefix: str = "") -> dict[str, Any]:
    """A copy without the parameters of these names."""
    kept = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name not in names:
            kept[key] = remove_parameters(value, names, f"{name}.") if isinstance(value, Mapping) else value
    return kept
