"""Searches settings of one family by trials on train and val: metrics/search/<family>. The test split takes no part.

Each trial is stored as soon as it is completed: a search that was killed, or that is asked for more trials, continues there.
With runtime.cluster ray, each is a task on a cluster, and several run at once, to the same results.
"""

import json
import logging

from pipeline.config.families import check_family
from pipeline.config.reader import check_params, read_params
from pipeline.config.search_rules import list_all_dimensions, list_dimensions
from pipeline.config.search_space import Dimension
from pipeline.config.sections import Params
from pipeline.data.manifest import save_table
from pipeline.report.page import render_page
from pipeline.report.sections.trials import describe_trials, make_command
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import SEARCH_METRICS
from pipeline.runtime.tensorflow import configure_tensorflow
from pipeline.search.cluster_trials import run_trials_on
from pipeline.search.sampling import draw_next, measure_importance
from pipeline.search.trials import Trial, describe_search, find_best, find_store, load_earlier, make_trial_table

logger = logging.getLogger(__name__)


def search(family: str) -> None:
    content = read_params()
    params = check_params(content)
    check_family(family)
    if family not in params.search.families:
        raise PipelineError(f"search.families: expected {family} in it, received {params.search.families}")
    dimensions = list_dimensions(params, family)
    names = {dimension.name for dimension in dimensions}
    if left := [d.name for d in list_all_dimensions(params) if d.name not in names]:
        logger.info("%s does not have %s: left out", family, ", ".join(left))
    store = find_store(family, params, dimensions)
    trials = load_earlier(store, params.search, dimensions)
    if trials:
        logger.info("%s: found %d completed trials in %s", family, len(trials), store)
    if draw_next(dimensions, trials, params.search) is not None:
        with open_cluster(cluster=params.runtime.cluster, address=params.runtime.ray_address) as cluster:
            if cluster is not None:
                trials = run_trials_on(cluster, family, content, dimensions, trials, store)
            else:
                configure_tensorflow(**params.runtime.model_dump())
                from pipeline.search.run import run_trials

                trials = run_trials(family, content, dimensions, trials, store)
    if find_best(trials) is None:
        raise PipelineError(f"{family}: none of {len(trials)} trials finished; the last one: {trials[-1].reason}")
    save_results(family, params, dimensions, trials)


def save_results(family: str, params: Params, dimensions: list[Dimension], trials: list[Trial]) -> None:
    """trials.csv, summary.json, command.txt and report.html."""
    folder, summary, command = SEARCH_METRICS / family, describe_search(trials), make_command(trials)
    importance = measure_importance(dimensions, trials, seed=params.search.seed)
    save_table(make_trial_table(trials), folder / "trials.csv")
    page = render_page("search.html", **describe_trials(family, params.search, dimensions, trials, importance))
    for name, text in {
        "summary.json": json.dumps({**summary, "importance": importance}, indent=1) + "\n",
        "command.txt": command + "\n",
        "report.html": page,
    }.items():
        with write_aside(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    best = (summary["score"], summary["trial"], len(trials), folder / "report.html")
    logger.info("%s: %.4f in trial %d of %d; see %s", family, *best)
    logger.info("to train with its values: %s", command)


if __name__ == "__main__":
    run_family_verb(search, __doc__)
