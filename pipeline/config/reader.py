"""The only reader of params.yaml: reads it whole, checks it whole, hands out typed sections."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.config.families import FAMILIES, check_family, check_image_size
from pipeline.config.recipes import recipe_schema, resolve_recipe
from pipeline.config.search_rules import check_space
from pipeline.config.search_space import Value, set_parameters
from pipeline.config.sections import Params, ParamsFile, Recipe
from pipeline.config.sources import SOURCES
from pipeline.config.types import Section
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import PARAMS


def load_params(file: Path = PARAMS, overrides: Mapping[str, Value] | None = None) -> Params:
    """Reads and checks the whole file. overrides: other values for parameters, by name, as train.dropout. Raises
    PipelineError, one line, naming the parameter that is wrong."""
    return check_params(read_params(file), overrides)


def check_params(content: dict[str, Any], overrides: Mapping[str, Value] | None = None) -> Params:
    """The same from what `read_params` has read."""
    if overrides:
        return _check(set_parameters(content, overrides))
    params = _check(content)
    for family in params.search.families:
        check_space(params, family, content, _check)
    return params


def parse_yaml(text: str) -> Any:
    """As yaml.safe_load, by the parser in C where there is one: ten times as fast."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_params(file: Path = PARAMS) -> dict[str, Any]:
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
        raw = ParamsFile.model_validate(content)
    except ValidationError as error:
        raise PipelineError(_explain(error, "", content)) from error
    _check_families("families", raw.families)
    _check_part("crossval.families", raw.crossval.families, raw.families)
    _check_part("search.families", raw.search.families, raw.families)
    _check_folds(raw.crossval.folds)
    sources = _check_named("sources", raw.sources, {name: settings for name, (_, settings) in SOURCES.items()})
    schemas = {name: recipe_schema(family) for name, family in FAMILIES.items()}
    recipes = _check_named("recipes", raw.recipes, schemas)
    fields = {name: getattr(raw, name) for name in ParamsFile.model_fields}
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
