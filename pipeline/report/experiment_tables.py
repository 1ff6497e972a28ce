"""Tables over several experiments: one row per trained model, folded over seeds, and by parameter. Pure."""

import json
from typing import Any

import pandas as pd

from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.report.experiment_files import SCORES
from pipeline.report.experiments import WORKSPACE, Experiment

SEED = "train.seed"
FOLDS = "crossval.folds"
OTHERS = "others"  # a column that stands for all parameters without one of their own
IMAGES = "images"  # a column that says which runs were tested on the same images, where not all were
UNKNOWN = "–"  # what the column says where dvc.lock does not
_MOST_SHOWN = 12  # parameters with a column of their own
_LEADING = ("train.", "recipes.", "split.", "prune.", "preprocess.", "data.")  # come first where there are more
_MAX_CURVES = 16  # models whose learning curves are drawn: the best by validation
# These say what to run, and how fast, not how a model is trained.
_BOOKKEEPING = ("families", "crossval.families", FOLDS, "runtime", "preprocess.num_workers")


def find_varied(experiments: list[Experiment]) -> list[str]:
    """Names of parameters that differ between experiments, sorted; those that only say what to run are left out."""
    names = sorted({name for experiment in experiments for name in experiment.params})
    return [
        name
        for name in names
        if not name.startswith(_BOOKKEEPING) and _differ([experiment.params.get(name) for experiment in experiments])
    ]


def _differ(values: list[Any]) -> bool:
    """Whether they are not all the same as JSON; most are one object, as sections of params.yaml are parsed once."""
    return len({json.dumps(value) for value in {id(value): value for value in values}.values()}) > 1


def make_run_table(experiments: list[Experiment]) -> pd.DataFrame:
    """experiment, family, SCORES, and a column for each parameter that varies: one row per experiment and family, the best
    by validation first, of one set of images after the other, as accuracies on different images don't rank. The workspace is
    left out where it is one of the experiments, applied."""
    shown, hidden = divide_varied(experiments)
    sets = number_images(experiments)
    varied = [*shown, *([OTHERS] if hidden else []), *([IMAGES] if sets else [])]
    numbers: dict[str, str] = {}
    rows = []
    for experiment in experiments:
        settings = {name: show_setting(experiment, name) for name in shown}
        if hidden:
            rest = json.dumps([show_setting(experiment, name) for name in hidden])
            settings[OTHERS] = numbers.setdefault(rest, f"set {len(numbers) + 1}")
        if sets:
            settings[IMAGES] = sets.get(experiment.held_out.images, UNKNOWN)
        summary = experiment.summary
        for family, *scores in zip(summary["family"], *(summary[name] for name in SCORES), strict=True):
            if family != ENSEMBLE:
                rows.append((experiment.name, family, *scores, *settings.values()))
    runs = pd.DataFrame(rows, columns=["experiment", "family", *SCORES, *varied])
    runs = runs.assign(_last=runs["experiment"] == WORKSPACE).sort_values("_last", kind="stable")
    runs = runs.drop_duplicates(["family", *SCORES, *varied]).drop(columns="_last")
    runs = runs.sort_values(["val_accuracy", "experiment"], ascending=[False, True], kind="stable", ignore_index=True)
    return _divide(runs) if sets else runs


def number_images(experiments: list[Experiment]) -> dict[str | None, str]:
    """Digest of the images in val and test to "set 1", "set 2", … in the order of the experiments; empty where all have the
    same, as far as known."""
    digests = list(
        dict.fromkeys(experiment.held_out.images for experiment in experiments if experiment.held_out.images)
    )
    return {digest: f"set {number}" for number, digest in enumerate(digests, 1)} if len(digests) > 1 else {}


def divide_varied(experiments: list[Experiment]) -> tuple[list[str], list[str]]:
    """`find_varied`, divided into parameters that tables show and the others: after a change of params.yaml itself, a hundred
    differ. Those that all experiments have come first, then those of training. Both are sorted."""
    varied = find_varied(experiments)
    if len(varied) <= _MOST_SHOWN:
        return varied, []
    lacking = {name: sum(name not in experiment.params for experiment in experiments) for name in varied}
    ranked = sorted(
        varied, key=lambda name: (lacking[name] > 0, not name.startswith(_LEADING[:2]), not name.startswith(_LEADING))
    )
    return sorted(ranked[:_MOST_SHOWN]), sorted(ranked[_MOST_SHOWN:])


def show_setting(experiment: Experiment, name: str) -> str:
    """A parameter's value as text; a dash where the experiment has no parameter of this name."""
    return show_value(experiment.params[name]) if name in experiment.params else "–"


def get_varied(runs: pd.DataFrame) -> list[str]:
    """The parameters for which `make_run_table` has made a column."""
    return list(runs.columns[2 + len(SCORES) :])


def show_value(value: Any) -> str:
    """A parameter as text: a word as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def fold_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """family, the parameters that vary except the seed, n, and mean and sd of SCORES: one row for all runs that differ in
    train.seed alone, the best mean validation accuracy first, of each set of images. sd (n - 1) is missing for a single run."""
    keys = ["family", *(name for name in get_varied(runs) if name != SEED)]
    grouped = runs.groupby(keys, sort=False, as_index=False)
    spec: dict[str, Any] = {"n": ("experiment", "count")}
    for name in SCORES:
        spec |= {name: (name, "mean"), f"{name}_sd": (name, "std")}
    table = grouped.agg(**spec).round(5).sort_values("val_accuracy", ascending=False, kind="stable", ignore_index=True)
    return _divide(table) if IMAGES in keys else table


def _divide(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each set of images together, in their order; those of unknown images last."""
    return table.sort_values(
        IMAGES,
        key=lambda sets: sets.str.extract(r"(\d+)", expand=False).astype("float"),
        kind="stable",
        ignore_index=True,
    )


def measure_effects(runs: pd.DataFrame) -> pd.DataFrame:
    """parameter, value, family, n, mean, sd, low, high of validation accuracy: one row per value of a parameter and family."""
    rows = []
    for name in get_varied(runs):
        for (family, value), part in runs.groupby(["family", name], sort=False):
            scores = part["val_accuracy"]
            spread = float(scores.std()) if len(scores) > 1 else 0.0
            rows.append(
                (name, value, family, len(scores), scores.mean(), spread, float(scores.min()), float(scores.max()))
            )
    columns = ["parameter", "value", "family", "n", "mean", "sd", "low", "high"]
    return pd.DataFrame(rows, columns=columns).round(5)


def get_best_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `make_run_table` whose learning curves are drawn."""
    return runs.head(_MAX_CURVES)


def join_curves_of_runs(runs: pd.DataFrame, curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """run (family and settings), split, epoch, accuracy, loss of the best runs. curves: experiment to those of its families."""
    tables = []
    for row in get_best_runs(runs).to_dict("records"):
        table = curves[row["experiment"]]
        settings = ", ".join(f"{name.removeprefix('train.')}={row[name]}" for name in get_varied(runs))
        label = f"{row['family']} {settings}".strip()
        tables.append(table[table["family"] == row["family"]].assign(run=label))
    return pd.concat(tables, ignore_index=True)
