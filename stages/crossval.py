"""Trains and measures one family on one fold of train and val: data/crossval/<family>/<fold>. The test split has no part in it.

Each fold is a stage of its own, so that a crash costs one fold, and the next run goes on from there.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from stages.cli import make_parser, report_errors
from stages.dataset.embeddings import load_embeddings
from stages.dataset.folds import write_fold, write_fold_embeddings
from stages.dataset.manifest import save_table
from stages.dataset.records import load_dataset_facts
from stages.errors import PipelineError
from stages.evaluation.folds import CROSSVAL
from stages.evaluation.metrics import compute_figures, make_prediction_table
from stages.evaluation.results import load_curves
from stages.families import FAMILIES, check_family
from stages.files import folder_aside
from stages.params import NO_AUGMENT, Params, load_params
from stages.runtime import configure_tensorflow


def main() -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("crossval", __doc__)
    parser.add_argument("family", metavar="FAMILY", help="a name that stands in recipes in params.yaml")
    parser.add_argument("fold", metavar="FOLD", type=int, help="a number that stands in crossval.folds in params.yaml")
    arguments = parser.parse_args()
    return report_errors(lambda: crossval(arguments.family, arguments.fold))


def crossval(family: str, fold: int) -> None:
    params = load_params()
    check_family(family)
    folds = params.crossval.folds
    if fold not in folds:
        raise PipelineError(f"fold {fold} is none of crossval.folds: expected one of {', '.join(map(str, folds))}")
    if not params.crossval.augment:
        params = params.model_copy(update={"train": params.train.model_copy(update={"augment": NO_AUGMENT})})
    params = with_absolute_weights(params, family)
    facts = load_dataset_facts()
    target = (CROSSVAL / family / str(fold)).absolute()
    # Beside the data, not in the system's temporary folder, which is often small or in memory.
    CROSSVAL.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fold-", dir=CROSSVAL) as name:
        place = Path(name)
        origins = write_fold(place, facts, fold=folds.index(fold), num_folds=len(folds), seed=params.crossval.seed)
        if FAMILIES[family].backbone:
            embeddings = load_embeddings(family)
            views = embeddings.facts.views if params.crossval.augment else 0
            write_fold_embeddings(place, family, embeddings, origins, views=views)
        configure_tensorflow(onednn=params.runtime.onednn)
        # The fold's folder looks like the project's, and what trains and measures reads relative to where it runs.
        with folder_aside(target) as results, contextlib.chdir(place):
            figures = train_and_measure(family, params, results, facts["class_names"])
    print(f"{family}, fold {fold}: accuracy {figures['accuracy']:.4f} of {figures['images']:,} images")


def train_and_measure(family: str, params: Params, results: Path, class_names: list[str]) -> dict[str, Any]:
    """Writes metrics.json, curves.csv and predictions.csv of val into `results`; returns the figures."""
    from stages.dataset.batches import read_names
    from stages.evaluation.predictions import predict
    from stages.training.dispatch import train_family

    record = Path("record")
    try:
        model = train_family(family, params, record=record)
    except PipelineError as error:
        # What is kept of a fold that diverges goes with its folder.
        raise PipelineError(str(error).split("; the last good weights")[0]) from error
    embeddings = load_embeddings(family) if FAMILIES[family].backbone else None
    labels, probabilities = predict(model, "val", embeddings)
    best = json.loads((record / "metrics.json").read_text())["best"]
    figures = compute_figures(labels, probabilities) | {
        "images": len(labels),
        "training_images": load_dataset_facts()["num_images"]["train"],
        "best_epoch": best.get("epoch"),
    }
    (results / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n")
    save_table(load_curves(record), results / "curves.csv")
    predictions = make_prediction_table(*read_names("val"), labels, probabilities, class_names)
    save_table(predictions, results / "predictions.csv")
    return figures


def with_absolute_weights(params: Params, family: str) -> Params:
    """The same parameters where a file of weights is named from the root: the training runs in another folder."""
    own = params.recipes[family]
    if own.backbone is None or own.backbone.weights in ("imagenet", "none"):
        return params
    weights = own.backbone.model_copy(update={"weights": str(Path(own.backbone.weights).absolute())})
    return params.model_copy(
        update={"recipes": params.recipes | {family: own.model_copy(update={"backbone": weights})}}
    )


if __name__ == "__main__":
    sys.exit(main())
