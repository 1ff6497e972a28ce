"""The cuts of a backbone for the pictures at hand, measured on this machine, before anything starts."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.families import BLOCKS, FAMILIES, check_family
from pipeline.config.reader import check_params, read_params
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.config.recipes import resolve_family
from pipeline.doctor.cuts import write_cuts
from pipeline.doctor.minutes import count_views
from pipeline.doctor.plan import count_pictures
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.machine import measure_free_disk, measure_memory
from pipeline.runtime.paths import EMBEDDINGS, PARAMS
from pipeline.runtime.tensorflow import configure_tensorflow

logger = logging.getLogger(__name__)


def plan_cuts(family: str, overrides: Mapping[str, Any], file: Path = PARAMS) -> list[str]:
    """A table, in lines, and how to choose a cut. overrides: other values for parameters of the file, by name. Raises
    PipelineError for a family without a backbone that has blocks, for a recipe that would be refused, and where pictures
    can't be counted yet."""
    content = read_params(file)
    families = check_params(content, overrides).families
    check_family(family, parameter="--cuts")
    # With the family among them, so that its recipe and its size are checked too.
    values: dict[str, Any] = {**overrides, "families": list(dict.fromkeys([*families, family]))}
    params = check_params(content, values)
    recipe = resolve_family(params, family)
    if not isinstance(recipe, TransferRecipe) or not BLOCKS[str(FAMILIES[family].backbone)]:
        raise PipelineError(
            f"--cuts: {family} has no backbone in blocks: expected a family such as efficientnet_lite0_fine_tuned or "
            "mobilenet_fine_tuned"
        )
    subject = count_pictures(params, "a table of cuts")
    logger.info("measuring how fast this machine trains what follows three cuts; half a minute where nothing else runs")
    configure_tensorflow(**params.runtime.of_one_device)
    from pipeline.doctor.cut_steps import measure_cuts

    cuts = measure_cuts(family, recipe, params.input_size(family), len(subject.classes))
    views = count_views(recipe, params.embed.views)
    free, memory = measure_free_disk(EMBEDDINGS), measure_memory().available
    setting = f"-S 'families=[{family}]' -S '++recipes.{family}.fine_tune.from=block {cuts.found[-1].block}'"
    lines = write_cuts(cuts, subject.splits, views, free=free, memory=memory)
    return [*lines, f"to choose another, such as the last: dvc exp run {setting}"]
