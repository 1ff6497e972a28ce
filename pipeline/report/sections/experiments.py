"""Experiments of DVC side by side: read straight from git, where DVC keeps them, even while a queue is at work."""

import io
import json
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.reader import parse_yaml
from pipeline.evaluation.cv_summary import compare_settings, describe_folds
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.report.charts import draw_curves_of_runs, draw_effects, draw_fold_boxes, draw_parallel
from pipeline.report.run_facts import flatten
from pipeline.report.tables import to_records
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import find_dvc_cache
from pipeline.runtime.git import ask_git

WORKSPACE = "workspace"
SEED = "train.seed"
FIGURES = ["val_accuracy", "test_accuracy", "test_macro_f1"]
_LINES = 16  # runs whose learning curves are drawn: the best by validation
_FOLDS = "crossval.folds"
_BOOKKEEPING = ("families", "crossval.families", _FOLDS, "runtime", "preprocess.num_workers")
_CUT = ("crossval.seed", _FOLDS, "data.", "sources.", "prune.", "split.")  # what decides which images a fold holds out


@dataclass(frozen=True)
class Experiment:
    """One run of the pipeline: params, flat; summary, a row a family; curves of all families, empty if not at hand; folds:
    family to figures of each fold; mean_curves: family to curves averaged over its folds, where at hand."""

    name: str
    params: dict[str, Any]
    summary: pd.DataFrame
    curves: pd.DataFrame
    folds: dict[str, pd.DataFrame] = field(default_factory=dict)
    mean_curves: dict[str, pd.DataFrame] = field(default_factory=dict)


def list_experiments(names: list[str]) -> list[tuple[str, str | None]]:
    """(name, revision), None for the workspace. No names: all experiments on HEAD, then the workspace. Raises PipelineError
    for a name that git does not know."""
    refs = [
        line.split() for line in _ask("for-each-ref", "refs/exps", "--format=%(refname) %(objectname)").splitlines()
    ]
    # refs/exps/<two digits>/<the rest of the baseline>/<name>; others hold DVC's own queue
    found_refs = [
        (parts[-1], "".join(parts[2:4]), revision)
        for parts, revision in ((ref.split("/"), revision) for ref, revision in refs)
        if len(parts) == 5 and len(parts[2]) == 2
    ]
    head = (ask_git("rev-parse", "--verify", "--quiet", "HEAD") or "").strip()
    own = {name: revision for name, baseline, revision in found_refs if baseline == head}
    if not names:
        return [*sorted(own.items()), (WORKSPACE, None)]
    # experiments on other commits may have the same name
    known = {name: revision for name, _, revision in found_refs} | own
    found: list[tuple[str, str | None]] = []
    for name in names:
        if name == WORKSPACE:
            found.append((name, None))
            continue
        revision = known[name] if name in known else ask_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if revision is None:
            some = ", ".join(sorted(known)[:8]) or "none yet"
            raise PipelineError(f"there is no experiment or commit {name!r}: expected one of {some}")
        found.append((name, revision.strip()))
    return found


def load_experiment(name: str, revision: str | None) -> Experiment | None:
    """What an experiment has left in git, and its learning curves from DVC's cache; None where it has no summary."""
    summary, params = _read("metrics/summary.csv", revision), _read("params.yaml", revision)
    if summary is None or params is None:
        return None
    flat = flatten(parse_yaml(params))
    families = list(parse_yaml(params).get("crossval", {}).get("families", []))
    folds = {
        family: pd.read_csv(io.StringIO(text))
        for family in families
        if (text := _read(f"metrics/crossval/{family}/folds.csv", revision)) is not None
    }
    lock = _load_lock(revision) if revision else None
    curves = _load_output("report", "metrics/plots", "curves.csv", lock)
    means = {
        family: _load_output(f"average@{family}", f"metrics/crossval/{family}/plots", "mean.csv", lock)
        for family in folds
    }
    return Experiment(
        name,
        flat,
        pd.read_csv(io.StringIO(summary)),
        pd.DataFrame(columns=["family", "split", "epoch", "accuracy", "loss"]) if curves is None else curves,
        folds,
        {family: table for family, table in means.items() if table is not None},
    )


def _load_lock(revision: str) -> dict[str, Any]:
    """Stage to what dvc.lock of a revision says of it."""
    lock = _read("dvc.lock", revision)
    return parse_yaml(lock)["stages"] if lock else {}


def _load_output(stage: str, folder: str, name: str, lock: dict[str, Any] | None) -> pd.DataFrame | None:
    """A table in a folder that a stage writes, by way of dvc.lock and the cache, or, without a lock, of the workspace; None
    where there is none."""
    if lock is None:
        file = Path(folder, name)
        return pd.read_csv(file) if file.exists() else None
    digest = next((out["md5"] for out in lock.get(stage, {}).get("outs", []) if out["path"] == folder), None)
    listing = _cached(digest) if digest else None
    if listing is None:
        return None
    entry = next((e for e in json.loads(listing.read_text()) if e["relpath"] == name), None)
    file_in_cache = _cached(entry["md5"]) if entry else None
    return pd.read_csv(file_in_cache) if file_in_cache else None


def _cached(digest: str) -> Path | None:
    """Where DVC's local cache keeps what has this digest."""
    path = find_dvc_cache() / "files" / "md5" / digest[:2] / digest[2:]
    return path if path.exists() else None


def _read(path: str, revision: str | None) -> str | None:
    if revision is None:
        return Path(path).read_text(encoding="utf-8") if Path(path).exists() else None
    return ask_git("show", f"{revision}:./{path}")


def _ask(*arguments: str) -> str:
    answer = ask_git(*arguments)
    if answer is None:
        raise PipelineError(
            "this is not a git repository, or git is not installed: expected a clone of the project; run where dvc.yaml lies"
        )
    return answer


def find_varied(experiments: list[Experiment]) -> list[str]:
    """Names of parameters that are not the same in all experiments; those that only say what to run are left out."""
    names = sorted({name for experiment in experiments for name in experiment.params})
    return [
        name
        for name in names
        if not name.startswith(_BOOKKEEPING)
        and len({json.dumps(experiment.params.get(name)) for experiment in experiments}) > 1
    ]


def make_run_table(experiments: list[Experiment]) -> pd.DataFrame:
    """experiment, family, FIGURES, and a column for each parameter that varies; a row an experiment and family, the best by
    validation first. The workspace is left out where it is one of the experiments, applied."""
    varied = find_varied(experiments)
    tables = []
    for experiment in experiments:
        table = experiment.summary[["family", *FIGURES]].assign(experiment=experiment.name)
        for name in varied:
            table[name] = _show(experiment.params.get(name))
        tables.append(table[table["family"] != ENSEMBLE])
    runs = pd.concat(tables, ignore_index=True)[["experiment", "family", *FIGURES, *varied]]
    runs = runs.assign(_last=runs["experiment"] == WORKSPACE).sort_values("_last", kind="stable")
    runs = runs.drop_duplicates(["family", *FIGURES, *varied]).drop(columns="_last")
    return runs.sort_values(["val_accuracy", "experiment"], ascending=[False, True], kind="stable", ignore_index=True)


def get_varied(runs: pd.DataFrame) -> list[str]:
    """The parameters that `make_run_table` has given a column."""
    return list(runs.columns[2 + len(FIGURES) :])


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def fold_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """family, the parameters that vary but for the seed, n, and mean and sd of FIGURES: runs that differ in train.seed alone
    are one row. sd (n - 1) is missing for a single run. The best mean validation accuracy first."""
    keys = ["family", *(name for name in get_varied(runs) if name != SEED)]
    grouped = runs.groupby(keys, sort=False, as_index=False)
    spec: dict[str, Any] = {"n": ("experiment", "count")}
    for name in FIGURES:
        spec |= {name: (name, "mean"), f"{name}_sd": (name, "std")}
    return grouped.agg(**spec).round(5).sort_values("val_accuracy", ascending=False, kind="stable", ignore_index=True)


def measure_effects(runs: pd.DataFrame) -> pd.DataFrame:
    """parameter, value, family, n, mean, sd, low, high of validation accuracy: a row a value that a parameter has had."""
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


def join_curves_of_runs(experiments: list[Experiment], runs: pd.DataFrame) -> pd.DataFrame:
    """run (family and what sets it apart), epoch, split, accuracy, loss of the best runs by validation."""
    by_name = {experiment.name: experiment for experiment in experiments}
    varied = get_varied(runs)
    tables = []
    for row in runs.head(_LINES).to_dict("records"):
        curves = by_name[row["experiment"]].curves
        settings = ", ".join(f"{name.removeprefix('train.')}={row[name]}" for name in varied)
        label = f"{row['family']} {settings}".strip()
        tables.append(curves[curves["family"] == row["family"]].assign(run=label))
    return pd.concat(tables, ignore_index=True)


def join_folds(experiments: list[Experiment], varied: list[str]) -> pd.DataFrame:
    """experiment, family, setting, cut, fold, accuracy, loss, images, training_images of all cross-validations. cut: the same
    where fold 1 is the same images, and so on."""
    tables = []
    varied = _add_folds(experiments, varied)
    for experiment in experiments:
        cut = json.dumps({k: v for k, v in sorted(experiment.params.items()) if k.startswith(_CUT)})
        setting = _describe_setting(experiment, varied)
        for family, folds in experiment.folds.items():
            tables.append(folds.assign(experiment=experiment.name, family=family, setting=setting, cut=cut))
    if not tables:
        return pd.DataFrame(columns=["experiment", "family", "setting", "cut", "fold", "accuracy", "loss"])
    return pd.concat(tables, ignore_index=True).drop_duplicates(["family", "setting", "fold"])


def join_mean_curves(experiments: list[Experiment], varied: list[str]) -> pd.DataFrame:
    """run (family and setting), split, epoch, accuracy, loss: the mean over folds of every cross-validation."""
    tables = [pd.DataFrame(columns=["run", "split", "epoch", "accuracy", "loss"])]
    varied = _add_folds(experiments, varied)
    for experiment in experiments:
        for family, curves in experiment.mean_curves.items():
            tables.append(curves.assign(run=f"{family}: {_describe_setting(experiment, varied)}"))
    return pd.concat(tables[1:] or tables, ignore_index=True).drop_duplicates(["run", "split", "epoch"])


def _add_folds(experiments: list[Experiment], varied: list[str]) -> list[str]:
    """The number of folds sets cross-validations apart, though it does not set models apart."""
    counts = {json.dumps(experiment.params.get(_FOLDS)) for experiment in experiments if experiment.folds}
    return [*varied, _FOLDS] if len(counts) > 1 else varied


def _describe_setting(experiment: Experiment, varied: list[str]) -> str:
    return ", ".join(f"{name}={_show(experiment.params.get(name))}" for name in varied) or "as it is"


def compare_folds(folds: pd.DataFrame) -> list[dict[str, Any]]:
    """For each family, every pair of settings that were cross-validated on the same folds, tested by the corrected resampled
    t-test; the better setting first."""
    rows = []
    for family, part in folds.groupby("family", sort=True):
        pivot = part.pivot_table(index="fold", columns="setting", values="accuracy")
        cuts = part.groupby("setting")["cut"].first()
        share = float((part["images"] / part["training_images"]).mean())
        for a, b in combinations(pivot.columns, 2):
            both = pivot[[a, b]].dropna()
            if len(both) < 2 or cuts[a] != cuts[b]:
                continue
            first, second = (a, b) if both[a].mean() >= both[b].mean() else (b, a)
            result = compare_settings(both[first], both[second], test_share=share)
            rows.append({"family": family, "first": first, "second": second, "folds": len(both), **result})
    return rows


def describe_comparison(experiments: list[Experiment], runs: pd.DataFrame, folded: pd.DataFrame) -> dict[str, Any]:
    """What compare.html needs."""
    varied = get_varied(runs)
    folds = join_folds(experiments, find_varied(experiments))
    curves = join_curves_of_runs(experiments, runs)
    means = join_mean_curves(experiments, find_varied(experiments))
    best = folded.drop_duplicates("family")
    effects = measure_effects(runs)
    settings = [
        {"family": family, "setting": setting, **describe_folds(part)}
        for (family, setting), part in (folds.groupby(["family", "setting"], sort=True) if len(folds) else ())
    ]
    return {
        "num_experiments": len(experiments),
        "varied": varied,
        "columns": list(folded.columns),
        "folded": to_records(folded),
        "best": to_records(best),
        "runs": to_records(runs),
        "effects": draw_effects(effects) if varied else None,
        "effect_rows": to_records(effects),
        "parallel": draw_parallel(runs, varied) if varied else None,
        "curves": {m: draw_curves_of_runs(curves, m) for m in ("accuracy", "loss")} if len(curves) else {},
        "fold_boxes": {m: draw_fold_boxes(folds, m) for m in ("accuracy", "loss")} if len(folds) else {},
        "fold_curves": {m: draw_curves_of_runs(means, m) for m in ("accuracy", "loss")} if len(means) else {},
        "fold_settings": settings,
        "fold_tests": compare_folds(folds) if len(folds) else [],
    }
