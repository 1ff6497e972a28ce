"""Which family a network learns from, besides labels, and what `embed` and `train` do for it under the network's own name."""

from pipeline.config.families import FAMILIES, check_family
from pipeline.config.recipe_sections import LinearRecipe, NetworkRecipe, Recipe
from pipeline.config.sections import Params
from pipeline.runtime.errors import PipelineError


def find_teacher(recipe: Recipe | LinearRecipe) -> str | None:
    """The family that a network learns from; None: from labels alone."""
    return recipe.distill.teacher if isinstance(recipe, NetworkRecipe) and recipe.distill else None


def find_embedded(params: Params, family: str) -> str:
    """Whose features `embed` keeps under a family's name: its teacher's, if it has one, or its own."""
    return find_teacher(params.recipes[family]) or family


def list_trained(params: Params) -> list[str]:
    """`families`, and behind them the teachers that are not among them."""
    return list(dict.fromkeys([*params.families, *(find_embedded(params, family) for family in params.families)]))


def check_teachers(params: Params) -> None:
    """Raises PipelineError where a teacher does not exist, is the network itself, or has no backbone whose features could be
    cached: what learns and what teaches would both see each image in each epoch."""
    for family in params.families:
        teacher, parameter = find_teacher(params.recipes[family]), f"recipes.{family}.distill.teacher"
        if teacher is None:
            continue
        check_family(teacher, parameter=parameter)
        if teacher == family:
            raise PipelineError(
                f"{parameter}: {family} can't be its own teacher: expected a family on a backbone, such as "
                f"efficientnet_lite0, or null, received {teacher}"
            )
        if FAMILIES[teacher].backbone is None:
            raise PipelineError(
                f"{parameter}: {teacher} has no backbone, whose features would be cached: expected a family on a backbone, "
                f"such as efficientnet_lite0, or null, received {teacher}"
            )
