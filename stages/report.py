"""Compares the families: metrics/summary.csv, metrics/report.html, and the overlays that `dvc plots show` draws."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from stages.cli import run_verb
from stages.dataset.manifest import MANIFEST, load_manifest, load_quarantine, save_table
from stages.dataset.records import load_dataset_facts
from stages.dataset.splits import DUPLICATES, SPLIT_NAMES, load_splits
from stages.evaluation.results import METRICS, Results, load_results, remove_leftovers
from stages.files import folder_aside, write_aside
from stages.params import load_params
from stages.reporting.charts import draw_class_scores, draw_comparison, draw_confusion, draw_counts, draw_curves
from stages.reporting.page import render_page
from stages.reporting.pictures import draw_class_strip, encode_picture, load_picture, pick_predictions
from stages.reporting.tables import (
    HEADLINES,
    choose_family,
    join_curves,
    make_comparison,
    make_summary,
    make_timings,
)
from stages.training.timings import load_readings

_CARDS = 12  # test images shown
_STRIP = 10  # samples a class
_STRIPS = 30  # classes with samples
_QUARANTINE_ROWS = 50
_MATRICES = 12  # families with a matrix on the page
_PICTURE = 134  # pixels, of a test image on the page


def report() -> None:
    params = load_params()
    families = params.families
    remove_leftovers(families)
    results = {family: load_results(family) for family in families}
    summary = make_summary({family: result.figures for family, result in results.items()})
    curves = join_curves({family: result.curves for family, result in results.items()})
    comparison = make_comparison(summary)
    save_table(summary, METRICS / "summary.csv")
    with write_aside(METRICS / "summary.json") as partial:
        headlines = {row["family"]: {key: row[key] for key in HEADLINES} for row in summary.to_dict("records")}
        partial.write_text(json.dumps(headlines, indent=1) + "\n")
    with folder_aside(METRICS / "plots") as folder:
        save_table(curves, folder / "curves.csv")
        save_table(comparison, folder / "comparison.csv")
    page = render_page(
        **describe_models(summary, curves, comparison, results),
        **describe_chosen(results[choose_family(summary)].predictions),
        **describe_data(),
        source=params.data.source,
        facts=describe_run(params.train.seed),
    )
    with write_aside(METRICS / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    timings = make_timings({name: load_readings(name, results[name].figures["model_sha256"]) for name in families})
    save_table(timings, METRICS / "timings.csv")
    print(summary[["family", *HEADLINES, "train_accuracy", "parameters"]].to_string(index=False))
    print(timings.to_string(index=False))
    print(f"report: {METRICS / 'report.html'}")


def describe_models(
    summary: pd.DataFrame, curves: pd.DataFrame, comparison: pd.DataFrame, results: dict[str, Results]
) -> dict[str, Any]:
    """What the page says of all families."""
    rows: list[dict[str, Any]] = summary.astype(object).where(summary.notna(), None).to_dict("records")  # type: ignore[assignment]
    families, class_names = list(summary["family"]), load_dataset_facts()["class_names"]
    chosen = choose_family(summary)
    scores = pd.concat([results[name].classes.assign(family=name) for name in families])
    return {
        "rows": rows,
        "best": rows[0],
        "chosen": next(row for row in rows if row["family"] == chosen),
        "comparison": draw_comparison(comparison, families),
        "accuracy_curves": draw_curves(curves, "accuracy", families),
        "loss_curves": draw_curves(curves, "loss", families),
        "class_scores": draw_class_scores(scores, families, class_names),
        "confusions": {name: draw_confusion(results[name].confusion, class_names) for name in families[:_MATRICES]},
    }


def describe_chosen(predictions: pd.DataFrame) -> dict[str, Any]:
    """Test images with what the chosen family makes of them."""
    resize = load_dataset_facts()["resize"]
    manifest = load_manifest().set_index("name")
    cards = [
        {
            "picture": encode_picture(load_picture(manifest.loc[row["name"]], image_size=_PICTURE, resize=resize)),
            "label": row["label"],
            "predicted": row["predicted"],
            "confidence": row["confidence"],
            "true_confidence": row[f"p:{row['label']}"],
            "hit": row["label"] == row["predicted"],
        }
        for _, row in pick_predictions(predictions, _CARDS).iterrows()
    ]
    return {"cards": cards}


def describe_data() -> dict[str, Any]:
    """What the page says of the images."""
    facts, manifest = load_dataset_facts(), load_manifest()
    class_names = facts["class_names"]
    train = load_splits().query("split == 'train'")[["name"]].merge(manifest, on="name")
    counts = pd.DataFrame(
        [
            {"label": label, "split": split, "images": count, "position": position}
            for position, split in enumerate(SPLIT_NAMES)
            for label, count in facts["counts"][split].items()
        ]
    )
    quarantine = load_quarantine()
    duplicates = pd.read_csv(DUPLICATES, dtype="str", keep_default_na=False)
    return {
        "class_names": class_names,
        "num_images": facts["num_images"],
        "image_size": facts["image_size"],
        "counts": draw_counts(counts, class_names),
        "strips": {
            name: draw_class_strip(train[train["label"] == name], count=_STRIP, resize=facts["resize"])
            for name in class_names[:_STRIPS]
        },
        "quarantine": quarantine.head(_QUARANTINE_ROWS).to_dict("records"),
        "num_quarantined": len(quarantine),
        "num_copies": len(duplicates) - duplicates["image_id"].nunique(),
        "num_left_out": int((duplicates["split"] == "").sum()),
    }


def describe_run(seed: int) -> dict[str, str]:
    """What one needs to get the same figures again."""
    packages = ("tensorflow", "keras", "scikit-learn", "numpy", "pillow", "dvc", "dvclive")
    return {
        "Manifest (sha256)": hashlib.sha256(Path(MANIFEST).read_bytes()).hexdigest(),
        "Parameters (sha256)": hashlib.sha256(Path("params.yaml").read_bytes()).hexdigest(),
        "Training seed": str(seed),
        "Versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }


if __name__ == "__main__":
    run_verb(report, __doc__)
