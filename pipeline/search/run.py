"""The trials of a search, one after the other, each stored as soon as it is completed. Imports TensorFlow."""

import logging
from pathlib import Path
from typing import Any

from pipeline.config.reader import check_params
from pipeline.config.search_space import Dimension
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.runtime.files import remove
from pipeline.runtime.paths import SEARCH_WORKSPACE
from pipeline.runtime.progress import progress_bar
from pipeline.search.sampling import Pruner, draw_next
from pipeline.search.scoring import open_workspaces, run_trial
from pipeline.search.trials import Trial, describe_trial, save_trial

logger = logging.getLogger(__name__)


def run_trials(
    family: str, content: dict[str, Any], dimensions: list[Dimension], trials: list[Trial], store: Path
) -> list[Trial]:
    """The given trials and those that follow, each written to `store`.

    content: of params.yaml when the search started: later changes to the file apply to the next search.
    """
    params = check_params(content)
    facts, folder = load_dataset_facts(), SEARCH_WORKSPACE / family
    per_fold = params.search.score == "crossval"
    remove(folder)  # left by a search that was killed
    with (
        open_workspaces(folder, family, facts, params) as workspaces,
        progress_bar(total=params.search.trials, initial=len(trials), desc="search", unit=" trials") as progress,
    ):
        while (values := draw_next(dimensions, trials, params.search)) is not None:
            pruner = Pruner(dimensions, trials, values, params.search.pruning, per_fold=per_fold)
            trial = run_trial(
                len(trials) + 1,
                values,
                family,
                lambda changed: check_params(content, changed),
                workspaces=workspaces,
                facts=facts,
                is_hopeless=pruner.is_hopeless,
            )
            save_trial(store, trial)
            trials = [*trials, trial]
            progress.update()
            logger.info("%s", describe_trial(trial, trials))
    remove(folder)
    return trials
