"""The only reader of params.yaml: reads all of it, checks all of it, and returns typed sections."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.config.families import FAMILIES, PRESETS, check_blocks, check_family, check_image_size
from pipeline.config.messages import explain
from pipeline.config.recipe_sections import LinearRecipe, Recipe
from pipeline.config.recipes import (
    averages_mirrors,
    expand_recipes,
    find_cut,
    find_shared_batch,
    list_features,
    resolve_family,
)
from pipeline.config.search_rules import check_space
from pipeline.config.search_space import Value, set_parameters
from pipeline.config.sections import Evaluate, Params, Runtime, Split
from pipeline.config.teachers import check_teachers, list_trained
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import PARAMS

_PROJECT = Path(__file__).resolve().parents[2]


def load_params(file: Path = PARAMS, overrides: Mapping[str, Value] | None = None) -> Params:
    """Reads and checks the whole file. overrides: other values for parameters, by name, such as train.dropout. Raises
    PipelineError, one line, with the name of the parameter that is wrong."""
    return check_params(read_params(file), overrides)


def read_params(file: Path = PARAMS) -> dict[str, Any]:
    """The file's content with whole recipes, as `check_params` takes it. Raises PipelineError like `read_file`, and for wrong
    defaults of recipes."""
    return expand_recipes(read_file(file))


def read_file(file: Path = PARAMS) -> dict[str, Any]:
    """The file's content as it is written, unchecked. Raises PipelineError if it does not exist, or is not YAML."""
    try:
        text = file.read_text(encoding="utf-8")
        content = parse_yaml(text)
    except FileNotFoundError as error:
        raise PipelineError(f"{file} is not here: run from the project's folder, where dvc.yaml is") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise PipelineError(
            f"{file} is not UTF-8: line {line} has the byte {error.object[error.start]:#04x}; save it as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        if lines := find_merge(text):
            raise PipelineError(
                f"{file} has both sides of a git merge, at {len(lines)} place(s), the first in line {lines[0]}: expected one; "
                "keep what you want of each, take the lines with <<<<<<<, ======= and >>>>>>> out, then `git add params.yaml`"
            ) from error
        raise PipelineError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise PipelineError(f"{file}: expected sections such as data and train, received {content!r}")
    return content


def find_merge(text: str) -> list[int]:
    """Numbers of the lines, from 1, with which git marks the beginning of two sides of a merge."""
    return [number for number, line in enumerate(text.splitlines(), start=1) if line.startswith("<" * 7 + " ")]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2 where it differs from 1.1 in what a plain word is; and what only looks like a number is a name."""


_TAG = "tag:yaml.org,2002:"
_WORDS = {  # type to what a plain word of it looks like, and how it may begin; of numbers, also underscores are text
    f"{_TAG}bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    f"{_TAG}float": (
        r"(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    f"{_TAG}int": (r"0|-?[1-9][0-9]*", "-0123456789"),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (*_WORDS, f"{_TAG}timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _first) in _WORDS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))


def parse_yaml(text: str) -> Any:
    """Like yaml.safe_load, with the parser in C where it is available: ten times as fast; but yes, no, on, off, dates, 16:9 and
    07 are text, as DVC and people write it: folders and classes have such names. A whole number is one that is written as such
    numbers are, so that the name of a class can be told from it."""
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def check_params(content: dict[str, Any], overrides: Mapping[str, Value] | None = None) -> Params:
    """The typed sections of what `read_params` has read. overrides, errors: see `load_params`."""
    if overrides:
        return _check(set_parameters(content, overrides))
    params = _check(content)
    for family in params.search.families:
        check_space(params, family, content, _check)
    return params


@cache
def load_published_recipe(family: str) -> Recipe | LinearRecipe:
    """A family's recipe in this project's params.yaml, whatever the working directory, without what `train` overrides."""
    return load_params(_PROJECT / PARAMS).recipes[family]


def _check(content: dict[str, Any]) -> Params:
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise PipelineError(explain(error, content)) from error
    _check_families("families", params.families)
    _check_part("crossval.families", params.crossval.families, params.families)
    _check_part("search.families", params.search.families, params.families)
    if isinstance(params.export.families, list):
        _check_part("export.families", params.export.families, params.families, why="which are trained")
    _check_folds(params.crossval.folds)
    if params.data.keep == "reference" and params.data.source != "folder":
        raise PipelineError(
            f"data.keep: got reference, but data.source is {params.data.source}: expected copy, as only a folder's pictures "
            "can stay where they are"
        )
    _check_group(params.split)
    _check_choice(params.evaluate)
    check_teachers(params)
    for family in list_trained(params):
        _check_family_size(params, family)
        _check_features(params, family)
        _check_preset(params, family)
        try:
            resolve_family(params, family)
        except PipelineError as error:
            raise PipelineError(f"{family}: {error}") from error
    _check_mirrors(params)
    _check_precision(params.runtime)
    _check_devices(params)
    return params


def _check_group(rules: Split) -> None:
    if rules.group == "pattern" and rules.group_pattern is None:
        raise PipelineError(
            "split.group_pattern is null: expected a regular expression, as split.group is pattern, such as 'patient_[0-9]+'"
        )
    if rules.group != "pattern" and rules.group_pattern is not None:
        raise PipelineError(
            f"split.group_pattern is {rules.group_pattern!r}, which split.group={rules.group} does not use: expected null, or "
            "split.group=pattern"
        )


def _check_family_size(params: Params, family: str) -> None:
    recipe = params.recipes[family]
    name = f"recipes.{family}.input_size" if recipe.input_size or recipe.backbone else "preprocess.image_size"
    check_image_size(family, params.input_size(family), name=name)


def _check_features(params: Params, family: str) -> None:
    backbone = FAMILIES[family].backbone
    if backbone:
        recipe, cut = params.recipes[family], find_cut(params.recipes[family])
        check_blocks(backbone, list_features(recipe), parameter=f"recipes.{family}.features")
        check_blocks(backbone, [] if cut is None else [cut], parameter=f"recipes.{family}.fine_tune.from")


def _check_preset(params: Params, family: str) -> None:
    backbone = params.recipes[family].backbone
    if backbone is None or (backbone.preset is not None) == (FAMILIES[family].backbone in PRESETS):
        return
    if backbone.preset is None:
        raise PipelineError(
            f"recipes.{family}.backbone.preset is null: expected a preset of KerasHub, such as dinov2_small, or a folder"
        )
    raise PipelineError(
        f"recipes.{family}.backbone.preset: {family} is no place for a preset: expected null, received {backbone.preset}; "
        f"set it for one of {', '.join(PRESETS)}"
    )


def _check_families(parameter: str, families: list[str]) -> None:
    for name in families:
        check_family(name, parameter=parameter)
    twice = sorted({name for name in families if families.count(name) > 1})
    if twice:
        raise PipelineError(f"{parameter}: {', '.join(twice)} is listed twice: expected each once")


def _check_part(
    parameter: str, part: list[str], families: list[str], *, why: str = "for which features are cached"
) -> None:
    _check_families(parameter, part)
    missing = [name for name in part if name not in families]
    if missing:
        raise PipelineError(
            f"{parameter}: {missing[0]} is not in families, {why}: expected it there too, "
            f"received families {', '.join(families)}"
        )


def _check_choice(rules: Evaluate) -> None:
    if rules.choose_by == "cost" and not rules.costs:
        raise PipelineError(
            "evaluate.costs is empty, but evaluate.choose_by is cost: expected the cost of an error by class, received none: "
            "say it as -S '+evaluate.costs.CLASS=5'"
        )


def _check_mirrors(params: Params) -> None:
    """Raises PipelineError where mirror images are to be averaged, though they are wrong or no family knows them."""
    if params.tta == "none":
        return
    said = params.train.augment.flip
    if said in ("none", "vertical"):
        raise PipelineError(
            f"evaluate.tta flip averages mirror images, but train.augment.flip is {said}: mirror images are wrong for these "
            "pictures (as of digits); set evaluate.tta to none, or train.augment.flip to horizontal, both or null"
        )
    if not any(averages_mirrors(params, family) for family in params.families):
        raise PipelineError(
            "evaluate.tta flip averages mirror images: expected a family that trains on them, received only "
            f"{', '.join(params.families)}, whose augment.flip is none; set evaluate.tta to none, or train.augment.flip to "
            "horizontal"
        )


def _check_precision(runtime: Runtime) -> None:
    """Raises PipelineError where training would round as the processor does, and is to give the same bits on any."""
    for name, value in (("precision", runtime.precision), ("xla", runtime.xla)):
        if runtime.portable and value not in ("float32", False):
            raise PipelineError(
                f"runtime.{name} {str(value).lower()} rounds as the processor does: expected runtime.portable false beside it, "
                "received true; add -S runtime.portable=false"
            )


def _check_devices(params: Params) -> None:
    """Raises PipelineError where several devices can't share what is trained."""
    devices = params.runtime.devices
    if devices != 1 and params.runtime.xla:
        raise PipelineError(
            f"runtime.xla true compiles for one device: expected runtime.devices 1 beside it, received {devices}; set it to 1, "
            "or runtime.xla to false"
        )
    if devices != 1 and params.runtime.precision == "mixed_float16":
        raise PipelineError(
            f"runtime.precision mixed_float16 scales the loss by what one device sees: expected runtime.devices 1 beside it, "
            f"received {devices}; set it to 1, or runtime.precision to mixed_bfloat16 or float32"
        )
    if not isinstance(devices, int):  # all: how many these are, training finds out
        return
    for family in list_trained(params):
        size = find_shared_batch(resolve_family(params, family))
        if size is not None and size < devices:
            raise PipelineError(
                f"runtime.devices {devices} share each batch: expected a batch_size of {devices} or more, received {size} for "
                f"{family}; raise it, or lower runtime.devices"
            )


def _check_folds(folds: list[int]) -> None:
    if len(set(folds)) < len(folds):
        raise PipelineError(f"crossval.folds: expected different numbers, received {folds}")
