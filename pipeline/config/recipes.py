"""Recipes: how a family trains. The defaults of its kind, what its study published, and what `train` overrides."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from pipeline.config.families import FAMILIES, find_origin
from pipeline.config.messages import explain
from pipeline.config.nested import KeyPath, merge, walk
from pipeline.config.recipe_sections import (
    NO_AUGMENT,
    Augment,
    Defaults,
    LinearRecipe,
    Recipe,
    Train,
    Training,
    TransferRecipe,
    spell_out_augment,
)
from pipeline.config.sections import Params
from pipeline.config.teachers import find_teacher
from pipeline.runtime.errors import PipelineError

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)

_DEFAULTS = "defaults"
_EMBEDDED = ("backbone", "features", "input_size", "augment")  # what decides features
_INHERITED = (*_EMBEDDED, "standardize")  # by X_svm, from X; X_fine_tuned and X_distilled inherit all
_LINEAR = ("augment", "class_weight")  # what `train` overrides of a linear machine
_OF_EVERY_STEP = ("cosine", "one_cycle")  # schedules that leave nothing to another rule
_OF_TRAINING = {"seed", "cache_gb", "shuffle_buffer"}  # of `train`, what no recipe has
_MIXING = ("mixup", "cutmix")  # of augment: nothing that can be done with cached features


def expand_recipes(content: Mapping[str, Any]) -> dict[str, Any]:
    """What params.yaml says, with each family's whole recipe in `recipes` and no `recipes.defaults`, and with all settings
    where `augment: none` says that they are off.

    Raises PipelineError, one line, for wrong defaults. What is wrong in a family's entry is left for `Params` to refuse.
    """
    content = {key: _spell_out(value) if key == "train" else value for key, value in content.items()}
    if not isinstance(content.get("recipes"), Mapping):
        return content
    recipes = _spell_out_all(content["recipes"])
    _check_defaults(recipes)
    whole = {name: _expand(recipes, name) for name in recipes if name != _DEFAULTS}
    return {**content, "recipes": whole}


def _spell_out(section: Any) -> Any:
    """A section with all settings of augmentation where it has `augment: none`."""
    if not isinstance(section, Mapping) or "augment" not in section:
        return section
    return {key: spell_out_augment(value) if key == "augment" else value for key, value in section.items()}


def _spell_out_all(recipes: Mapping[str, Any]) -> dict[str, Any]:
    """Adds what may be left out: the entry of a variant (X_svm, X_fine_tuned, X_distilled) that says nothing of its own."""
    whole = {name: _spell_out(entry) for name, entry in recipes.items()}
    whole |= {name: {} for name in FAMILIES if find_origin(name) is not None and name not in recipes}
    if isinstance(defaults := recipes.get(_DEFAULTS), Mapping):
        whole[_DEFAULTS] = {kind: _spell_out(entry) for kind, entry in defaults.items()}
    return whole


def _check_defaults(recipes: Mapping[str, Any]) -> None:
    if _DEFAULTS not in recipes:
        raise PipelineError("recipes.defaults is missing: params.yaml must have it")
    try:
        Defaults.model_validate(recipes[_DEFAULTS])
    except ValidationError as error:
        raise PipelineError(explain(error, recipes[_DEFAULTS], f"recipes.{_DEFAULTS}")) from error


def _expand(recipes: Mapping[str, Any], family: str) -> Any:
    """A family's whole recipe; its entry as it is where that is no mapping, or the family is unknown."""
    entry = recipes[family]
    if not isinstance(entry, Mapping) or family not in FAMILIES:
        return entry
    whole: dict[str, Any] = {}
    for _, values in _list_origins(recipes, family):
        whole = merge(whole, values)
    return whole


def _list_origins(recipes: Mapping[str, Any], family: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Where a recipe's values come from, and these values; later ones win. recipes: as params.yaml has them."""
    kind, origin = FAMILIES[family].kind, find_origin(family)
    origins = [(f"default of {kind}", recipes[_DEFAULTS][kind])]
    if origin is not None:
        whole = _expand(recipes, origin) if origin in recipes else None
        if isinstance(whole, Mapping):
            keys = _INHERITED if kind == "linear" else tuple(whole)
            origins.append((f"from {origin}", {key: whole[key] for key in keys if key in whole}))
    return [*origins, ("study", recipes[family])]


def trace_origins(recipes: Mapping[str, Any], params: Params, family: str) -> dict[KeyPath, str]:
    """Where each value of `resolve_family` comes from, in the order of params.yaml: `study` (the family's entry), `default of
    <kind>`, `from <family>`, `train` or `train.max_epochs`. recipes: as params.yaml has them."""
    recipes = _spell_out_all(recipes)
    found = {path: origin for origin, values in _list_origins(recipes, family) for path, _ in walk(values)}
    resolved = dict(walk(resolve_family(params, family).model_dump()))
    overrides = {path for path, value in walk(params.train.model_dump()) if value is not None}
    origins = {}
    for path, value in walk(_expand(recipes, family)):
        is_overridden = path in overrides and (path[0] in _LINEAR or FAMILIES[family].kind != "linear")
        is_capped = path == ("epochs",) and resolved[path] != value
        origins[path] = "train" if is_overridden else "train.max_epochs" if is_capped else found[path]
    return origins


def resolve_recipe(train: Train, recipe: AnyRecipe) -> AnyRecipe:
    """The settings with which one family trains: those of `train`, and the recipe's own where `train` says null.

    `train.max_epochs` caps the recipe's epochs, but not `train.epochs`. What is trained on cached features never mixes images.
    Raises PipelineError for two rules that would both set the learning rate, or both make up for rare classes.
    """
    resolved = _override(recipe.model_dump(), train.model_dump())
    if trains_on_features(recipe):
        _check_mixing(recipe.augment)
        resolved["augment"] |= dict.fromkeys(_MIXING, 0.0)
    if train.epochs is None and train.max_epochs is not None:
        resolved["epochs"] = min(resolved["epochs"], train.max_epochs)
    _check_rules(resolved)
    return type(recipe).model_validate(resolved)


def _check_rules(resolved: Mapping[str, Any]) -> None:
    """Raises PipelineError for settings that contradict each other."""
    tuning = resolved.get("fine_tune", {})
    for place, settings in (("", resolved), ("fine_tune.", tuning)):
        inherited = resolved if settings.get("epochs") else {}  # a schedule of null is that of the head
        kind = (settings.get("schedule") or inherited.get("schedule") or {}).get("kind")
        if kind in _OF_EVERY_STEP and settings["reduce_lr"]["patience"] is not None:
            raise PipelineError(
                f"{place}schedule.kind {kind} sets the learning rate of every step: expected {place}reduce_lr.patience null "
                f"beside it, received {settings['reduce_lr']['patience']}; use one of the two"
            )
    if tuning.get("from") and tuning["start"] == "fresh":
        raise PipelineError(
            "fine_tune.from keeps what a frozen part of the backbone gives: expected fine_tune.start head beside it, received "
            "fresh; set fine_tune.from to null to train the whole network"
        )
    if resolved["class_weight"] == resolved["oversample"] == "balanced":
        raise PipelineError(
            "oversample balanced shows all classes equally often already: expected class_weight none beside it, received "
            "balanced; use one of the two"
        )


def _check_mixing(augment: Augment) -> None:
    """Of a family that trains on cached features."""
    if augment.mixes:
        raise PipelineError(
            "augment.mixup and augment.cutmix mix images, and this family trains on features that are cached for one image "
            f"each: expected 0 for both, received {augment.mixup:g} and {augment.cutmix:g}; networks on pixels take them"
        )


def _resolve_views(train: Train, augment: Augment) -> Augment:
    """How the views of a linear machine on features are augmented: as `train.augment` says, and as the recipe says where that
    is null; without mixing."""
    _check_mixing(augment)
    resolved = _override(augment.model_dump(), train.augment.model_dump())
    return Augment.model_validate(resolved | dict.fromkeys(_MIXING, 0.0))


def resolve_family(params: Params, family: str) -> Recipe | LinearRecipe:
    """A family's recipe with what `train` overrides. Of a linear machine, that is how its views are augmented, and the weights
    of classes."""
    recipe = params.recipes[family]
    if isinstance(recipe, Recipe):
        return resolve_recipe(params.train, recipe)
    augment = recipe.augment and _resolve_views(params.train, recipe.augment)
    return recipe.model_copy(
        update={"augment": augment, "class_weight": params.train.class_weight or recipe.class_weight}
    )


def trains_on_features(recipe: Recipe | LinearRecipe) -> bool:
    """Whether a family trains on a backbone's cached features, at first at least, and not on pixels."""
    is_fresh = isinstance(recipe, TransferRecipe) and recipe.starts_fresh
    return recipe.backbone is not None and not is_fresh


def find_shared_batch(recipe: Recipe | LinearRecipe) -> int | None:
    """The images of a batch that several devices would share; None where one device does all: heads and linear machines."""
    if isinstance(recipe, TransferRecipe):
        return (recipe.fine_tune.batch_size or recipe.batch_size) if recipe.fine_tune.epochs else None
    return recipe.batch_size if isinstance(recipe, Recipe) else None


def averages_mirrors(params: Params, family: str) -> bool:
    """Whether a family's model averages its answers on an image and on its mirror image: `evaluate.tta` asks for it, and the
    family trains on mirror images, so that they are as good."""
    augment = resolve_family(params, family).augment
    return params.tta == "flip" and augment is not None and augment.mirrors


def embeds_mirrors(params: Params, family: str) -> bool:
    """Whether features of mirror images are kept: not for a backbone that is trained then, of which they are no more, unless it
    is trained from a cut on."""
    recipe = resolve_family(params, family)
    is_tuned = isinstance(recipe, TransferRecipe) and recipe.fine_tune.epochs > 0 and recipe.fine_tune.cut is None
    return averages_mirrors(params, family) and trains_on_features(recipe) and not is_tuned


def list_features(recipe: Recipe | LinearRecipe) -> list[int]:
    """Blocks of the backbone, from the start, whose pooled outputs the family trains on besides the last one."""
    return (recipe.features or []) if isinstance(recipe, TransferRecipe | LinearRecipe) else []


def find_cut(recipe: Recipe | LinearRecipe) -> int | None:
    """The block of the backbone whose outputs are kept for fine-tuning, from 1, the first; None: there is no such phase, or it
    sees pixels."""
    return recipe.fine_tune.cut if isinstance(recipe, TransferRecipe) else None


def list_ignored(params: Params, family: str) -> list[str]:
    """What `train` sets and a family does not have, by name, such as train.dropout of a linear machine, or train.augment.mixup
    of what trains on cached features."""
    declared, asked = FAMILIES[family], params.train.augment.model_dump(include=set(_MIXING))
    mixing = (
        [f"train.augment.{name}" for name in _MIXING if asked[name]]
        if trains_on_features(params.recipes[family])
        else []
    )
    if declared.kind != "linear":
        return mixing
    taken = set(_LINEAR) if declared.backbone else {"class_weight"}
    if params.train.augment.model_dump() == NO_AUGMENT.model_dump():
        taken.add("augment")  # on pixels nothing is augmented anyway
    overrides = params.train.model_dump(include={*Training.model_fields, "max_epochs"} - taken)
    return [".".join(["train", *path]) for path, value in walk(overrides) if value is not None] + mixing


def list_notes(params: Params) -> list[str]:
    """What params.yaml asks for and families do not do, in sentences."""
    notes = []
    for family in params.families:
        if ignored := list_ignored(params, family):
            do = "does" if len(ignored) == 1 else "do"
            kind = "is a linear machine" if FAMILIES[family].kind == "linear" else "trains on cached features"
            notes.append(f"{family} {kind}: {', '.join(ignored)} {do} not apply to it")
        if params.tta != "none" and not averages_mirrors(params, family):
            notes.append(f"{family} does not train on mirror images: evaluate.tta does not apply to it")
    return notes


def _override(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The values with those of `overrides` that are not None. Keys that `overrides` does not have, such as a recipe's
    backbone, stay."""
    resolved = {}
    for key, value in values.items():
        override = overrides.get(key)
        if isinstance(value, dict) and isinstance(override, dict):
            resolved[key] = _override(value, override)
        else:
            resolved[key] = value if override is None else override
    return resolved


def without_augment(params: Params) -> Params:
    """The same parameters with all augmentation off, whatever a recipe says."""
    off = params.train.augment.model_copy(update=NO_AUGMENT.model_dump())
    return params.model_copy(update={"train": params.train.model_copy(update={"augment": off})})


def describe_settings(params: Params, family: str) -> dict[str, dict[str, Any]]:
    """What a family embeds and trains with, as JSON: "embed" has backbone, features, input_size, augment and, if there is one,
    the cut, or nothing for a family that trains on pixels; "train" has the recipe and, for what trains by gradient descent,
    seed, cache_gb and shuffle_buffer. Both say so where mirror images are averaged, or embedded for it. Of a network with a
    teacher, "embed" is the teacher's, and "train" has the teacher's too. All recipes are as `train` overrides them: a change in
    `train` changes the settings of those families only that it reaches.
    """
    recipe = resolve_family(params, family)
    whole, teacher = recipe.model_dump(mode="json"), find_teacher(recipe)
    if teacher is None:
        whole.pop("distill", None)  # of no effect, and unknown to models that are older
    embed = {key: whole[key] for key in _EMBEDDED} if trains_on_features(recipe) else {}
    if (cut := find_cut(recipe)) is not None:
        embed["cut"] = cut
    if embeds_mirrors(params, family):
        embed["tta"] = params.tta
    mirrors = {"tta": params.tta} if averages_mirrors(params, family) else {}
    if isinstance(recipe, LinearRecipe):
        return {"embed": embed, "train": {"recipe": whole, **mirrors}}
    train = params.train.model_dump(mode="json", include=_OF_TRAINING) | {"recipe": whole, **mirrors}
    if teacher is None:
        return {"embed": embed, "train": train}
    taught = describe_settings(params, teacher)
    return {"embed": taught["embed"], "train": {**train, "teacher": {teacher: taught["train"]}}}
