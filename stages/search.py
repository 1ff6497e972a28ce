"""Searches the settings of one family, by trials on train and val: metrics/search/<family>. The test split has no part in it.

Each trial is kept as soon as it is over: a search that was killed, or that is asked for more trials, goes on where it ended.
"""

import json
from pathlib import Path
from typing import Any

from pipeline.config.families import check_family
from pipeline.config.reader import check_params, read_params
from pipeline.config.search_rules import list_dimensions
from pipeline.config.search_space import Dimension, Value, parse_space
from pipeline.config.sections import Params
from pipeline.data.manifest import save_table
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.report.page import render_page
from pipeline.report.sections.trials import describe_trials, make_command
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import remove, write_aside
from pipeline.runtime.paths import SEARCH_METRICS, SEARCH_WORKSPACE
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.tensorflow import configure_tensorflow
from pipeline.search.sampling import Pruner, draw_point, measure_importance
from pipeline.search.trials import (
    Trial,
    describe_search,
    find_best,
    find_store,
    load_trials,
    make_trial_table,
    save_trial,
    shorten_name,
    show_value,
)


def search(family: str) -> None:
    content = read_params()
    params = check_params(content)
    check_family(family)
    if family not in params.search.families:
        raise PipelineError(
            f"search.families: {family} is none of them: expected it there, as its trials are counted there"
        )
    dimensions = list_dimensions(params, family)
    names = {dimension.name for dimension in dimensions}
    if left := [d.name for d in parse_space(params.search.space) if d.name not in names]:
        print(f"{family} has no {', '.join(left)} to vary: left out")
    store = find_store(family, params, dimensions)
    trials = load_trials(store)[: params.search.trials]
    if trials:
        print(f"{family}: {len(trials)} trials are here from before, in {store}")
    if draw_next(dimensions, trials, params) is not None:
        trials = run_trials(family, content, dimensions, trials, store)
    if find_best(trials) is None:
        raise PipelineError(f"{family}: none of {len(trials)} trials could be finished; the last: {trials[-1].reason}")
    save_results(family, params, dimensions, trials)


def draw_next(dimensions: list[Dimension], trials: list[Trial], params: Params) -> dict[str, Value] | None:
    """The values of the next trial; None where the budget is spent, or the space."""
    settings = params.search
    spent = settings.minutes is not None and sum(trial.seconds for trial in trials) >= 60 * settings.minutes
    if spent or len(trials) >= settings.trials:
        return None
    return draw_point(dimensions, trials, sampler=settings.sampler, seed=settings.seed)


def run_trials(
    family: str, content: dict[str, Any], dimensions: list[Dimension], trials: list[Trial], store: Path
) -> list[Trial]:
    """The trials and those that follow, each written to `store` when it is over. content: of params.yaml as the search found
    it; what is changed in the file meanwhile is for the next one."""
    params = check_params(content)
    configure_tensorflow(onednn=params.runtime.onednn)
    from pipeline.search.scoring import open_places, run_trial

    facts, place, per_fold = load_dataset_facts(), SEARCH_WORKSPACE / family, params.search.score == "crossval"
    remove(place)  # what a search that was killed has left
    with (
        open_places(place, family, facts, params) as places,
        progress_bar(total=params.search.trials, initial=len(trials), desc="search", unit=" trials") as progress,
    ):
        while (values := draw_next(dimensions, trials, params)) is not None:
            pruner = Pruner(dimensions, trials, values, params.search.pruning, per_fold=per_fold)
            trial = run_trial(
                len(trials) + 1,
                values,
                family,
                lambda changed: check_params(content, changed),
                places=places,
                facts=facts,
                is_hopeless=pruner.is_hopeless,
            )
            save_trial(store, trial)
            trials = [*trials, trial]
            progress.update()
            print(describe_trial(trial, trials), flush=True)
    remove(place)
    return trials


def describe_trial(trial: Trial, trials: list[Trial]) -> str:
    """One line: what was tried, what came of it, and the best so far."""
    values = ", ".join(f"{shorten_name(name)} {show_value(value)}" for name, value in trial.values.items())
    best = find_best(trials)
    came = {"finished": f"{trial.score}", "pruned": "given up", "failed": f"failed: {trial.reason}"}[trial.state]
    return f"trial {trial.number}: {came}, with {values}; best so far: " + (
        f"{best.score} in trial {best.number}" if best else "none"
    )


def save_results(family: str, params: Params, dimensions: list[Dimension], trials: list[Trial]) -> None:
    """trials.csv, summary.json, command.txt and report.html."""
    folder, table, summary = SEARCH_METRICS / family, make_trial_table(trials), describe_search(trials)
    command = make_command(trials)
    importance = measure_importance(dimensions, trials, seed=params.search.seed)
    save_table(table, folder / "trials.csv")
    page = render_page("search.html", **describe_trials(family, params.search, dimensions, trials, importance))
    for name, text in {
        "summary.json": json.dumps(summary | {"importance": importance}, indent=1) + "\n",
        "command.txt": command + "\n",
        "report.html": page,
    }.items():
        with write_aside(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    print(
        f"{family}: {summary['score']:.4f} in trial {summary['trial']} of {len(trials)}; see {folder / 'report.html'}"
    )
    print(f"to train with what it tried: {command}")


if __name__ == "__main__":
    run_family_verb(search, __doc__)
