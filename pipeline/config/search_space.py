"""What a search varies: dimensions, read from `search.space` of params.yaml and checked; and parameters set by name."""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from pydantic import ValidationError

from pipeline.config.messages import suggest
from pipeline.config.nested import walk
from pipeline.config.types import Count, Number, Positive, Section, read_exponent
from pipeline.runtime.errors import PipelineError

Value: TypeAlias = bool | int | float | str | None
_DIGITS = 4  # significant digits of a sampled number: more would only be tedious to type
_MOST_VALUES = 100_000  # of a range with steps, or points of a space, that are listed


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
        """The values for which it is checked that the parameter takes them."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A parameter that takes numbers from low to high, both included; integers if `whole`. log: as often from 0.001 to 0.01
    as from 0.01 to 0.1. step: only low plus multiples of it, of which high is the last."""

    name: str
    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    @property
    def edges(self) -> tuple[Value, ...]:
        """The values for which it is checked that the parameter takes them."""
        return (self.low, self.high) if self.step is None else (self.tidy(self.low), self.tidy(self.high))

    @property
    def values(self) -> tuple[Value, ...] | None:
        """All values, if they can be listed."""
        step = 1 if self.whole and self.step is None else self.step
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.tidy(self.low + number * step) for number in range(count)) if count <= _MOST_VALUES else None

    def tidy(self, value: float) -> int | float:
        """The number as it is used and shown: an integer, low plus some steps, or rounded to four significant digits."""
        if self.whole:
            return round(value)
        if self.step is not None:
            return float(f"{self.low + round((value - self.low) / self.step) * self.step:.10g}")
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


Dimension: TypeAlias = Choices | Range


def parse_space(space: Mapping[str, Any]) -> list[Dimension]:
    """The dimensions, in the order of the file. space: nested like params.yaml, with a list of choices, or a mapping with low,
    high, and log or step, in place of a parameter's value. Raises PipelineError, one line, with the name of a wrong one."""
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
        # For int | float, pydantic's first complaint is that the value is no int, which it need not be.
        faults = error.errors(include_url=False)
        first = next((fault for fault in faults if not fault["type"].endswith("_type")), faults[0])
        raise PipelineError(
            f"{where}: expected numbers low and high, and optionally log: true or step, received {dict(leaf)!r} "
            f"({first['loc'][0]}: {first['msg']})"
        ) from error
    _check_range(range_, where)
    return _make_range(name, range_)


def _check_range(range_: _RangeSettings, where: str) -> None:
    low, high, step = range_.low, range_.high, range_.step
    if low >= high:
        raise PipelineError(f"{where}: expected low below high, received low {low} and high {high}")
    if range_.log and low <= 0:
        raise PipelineError(f"{where}: expected low above 0, as log is true, received {low}")
    if range_.log and step is not None:
        raise PipelineError(f"{where}: expected log: true or step, not both, received step {step}")
    if step is not None and step > high - low:
        raise PipelineError(
            f"{where}: expected a step of at most high - low, received step {step} from {low} to {high}"
        )


def _make_range(name: str, range_: _RangeSettings) -> Range:
    low, high, step = range_.low, range_.high, range_.step
    whole = isinstance(low, int) and isinstance(high, int) and isinstance(step, int | None)
    if step is not None:
        high = low + math.floor((high - low) / step + 1e-9) * step
    elif whole and not range_.log:
        step = 1
    return Range(name, low, high, range_.log, step, whole)


def _parse_choices(name: str, values: list[Any], where: str) -> Choices:
    if not values:
        raise PipelineError(f"{where}: expected one choice or more, received an empty list")
    for number, value in enumerate(values):
        if not isinstance(value, bool | int | float | str | None):
            raise PipelineError(f"{where}: expected numbers, words, true, false or null as choices, received {value!r}")
        if value in values[:number]:
            raise PipelineError(f"{where}: expected each choice once, received {value!r} twice")
    return Choices(name, tuple(values))


def parse_points(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Value]]:
    """The points of `search.points`, each by parameter names such as train.dropout. Raises PipelineError, one line, with the
    number of a wrong one."""
    parsed: list[dict[str, Value]] = []
    for number, point in enumerate(points, 1):
        where = f"search.points, point {number}"
        values = {".".join(path): read_exponent(value) for path, value in walk(point)}
        for name, value in values.items():
            if not isinstance(value, bool | int | float | str | None):
                raise PipelineError(
                    f"{where}: {name}: expected a number, a word, true, false or null, received {value!r}"
                )
        if not values:
            raise PipelineError(f"{where}: expected parameters, as in {{train.dropout: 0.1}}, received none")
        if parsed and set(values) != set(parsed[0]):
            different = sorted(set(values) ^ set(parsed[0]))[0]
            raise PipelineError(
                f"{where}: expected the same parameters as in point 1, {', '.join(parsed[0])}; {different} is in one of them "
                "only"
            )
        if values in parsed:
            raise PipelineError(f"{where}: expected each point once, received point {parsed.index(values) + 1} again")
        parsed.append({name: values[name] for name in parsed[0]} if parsed else values)
    return parsed


def choose_points(points: Sequence[Mapping[str, Any]], names: Iterable[str]) -> list[dict[str, Value]]:
    """The points with these parameters alone, in order, each once. points: see `parse_points`."""
    chosen: list[dict[str, Value]] = []
    for point in parse_points(points):
        values = {name: point[name] for name in names}
        if values not in chosen:
            chosen.append(values)
    return chosen


def parse_choices_of(points: Sequence[Mapping[str, Any]]) -> list[Choices]:
    """A dimension for each parameter of the points, with the values that they have. points: see `parse_points`."""
    parsed = parse_points(points)
    columns = {name: [point[name] for point in parsed] for name in (parsed[0] if parsed else {})}
    return [
        Choices(name, tuple(value for number, value in enumerate(values) if value not in values[:number]))
        for name, values in columns.items()
    ]


def list_points(dimensions: list[Dimension]) -> list[dict[str, Value]] | None:
    """Every point of the space, the last dimension changing fastest; None if a dimension has no list of values, or if there are
    too many points to list."""
    values = [dimension.values for dimension in dimensions]
    if any(listed is None for listed in values) or math.prod(len(listed or ()) for listed in values) > _MOST_VALUES:
        return None
    names = [dimension.name for dimension in dimensions]
    return [dict(zip(names, point, strict=True)) for point in product(*(listed or () for listed in values))]


def set_parameters(content: dict[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """A copy of what params.yaml says, with other values. values: by name, such as train.dropout, or +evaluate.costs.cat for a
    new key of a map. Raises PipelineError for another name that does not exist."""
    changed = copy.deepcopy(content)
    for given, value in values.items():
        name = given.removeprefix("+")
        *parents, last = name.split(".")
        section: Any = changed
        for part in parents:
            section = _check_key(section, part, name)[part]
        if given != name and isinstance(section, dict):
            section.setdefault(last, value)
        _check_key(section, last, name)[last] = value
    return changed


def _check_key(section: Any, key: str, name: str) -> dict[str, Any]:
    if not isinstance(section, dict):
        raise PipelineError(
            f"{name} is unknown: expected the name of a parameter in params.yaml, such as train.dropout"
        )
    if key not in section:
        raise PipelineError(f"{name} is unknown: {suggest(key, section)}")
    return section


def remove_parameters(content: Mapping[str, Any], names: set[str], prefix: str = "") -> dict[str, Any]:
    """A copy without the parameters of these names."""
    kept = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name not in names:
            kept[key] = remove_parameters(value, names, f"{name}.") if isinstance(value, Mapping) else value
    return kept
