"""Trains and measures one family on one fold of train and val: data/crossval/<family>/<fold>. The test split takes no part.

Each fold is a stage of its own: a crash costs one fold, and the next run continues from there.
"""

import contextlib
import json
import logging
import sys

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import without_augment
from pipeline.config.teachers import find_embedded
from pipeline.data.manifest import save_table
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.metrics import make_prediction_table
from pipeline.runtime.cli import configure, make_parser, read_words, report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import CROSSVAL
from pipeline.runtime.tensorflow import configure_tensorflow
from pipeline.training.fold_data import open_fold

logger = logging.getLogger(__name__)


def main() -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("crossval", __doc__)
    parser.add_argument("family", metavar="FAMILY", help="a name under recipes in params.yaml")
    parser.add_argument("fold", metavar="FOLD", type=int, help="a number in crossval.folds in params.yaml")
    arguments = configure(parser.parse_args(read_words("crossval", 2)))
    return report_errors(lambda: crossval(arguments.family, arguments.fold))


def crossval(family: str, fold: int) -> None:
    params = load_params()
    check_family(family)
    folds = params.crossval.folds
    if fold not in folds:
        raise PipelineError(f"fold {fold} is not in crossval.folds: expected one of {', '.join(map(str, folds))}")
    if not params.crossval.augment:
        params = without_augment(params)
    facts = load_dataset_facts()
    # Beside the data, as the system's folder for temporary files is often small or in memory.
    workspace = CROSSVAL / f".{family}-{fold}"
    source = find_embedded(params, family)
    with open_fold(workspace, family, facts, params.crossval, fold=folds.index(fold), source=source):
        configure_tensorflow(**params.runtime.model_dump())
        from pipeline.data.batches import read_names
        from pipeline.evaluation.held_out import train_and_measure
        from pipeline.training.checkpoint_key import find_checkpoints

        checkpoints = find_checkpoints("crossval", family, params, workspace=workspace)
        held_out = train_and_measure(workspace, family, params, checkpoints=checkpoints)
        with contextlib.chdir(workspace):
            names = read_names("val")
        predictions = make_prediction_table(*names, held_out.labels, held_out.probabilities, facts.class_names)
        with folder_aside(CROSSVAL / family / str(fold)) as results:
            (results / "metrics.json").write_text(json.dumps(held_out.metrics, indent=1) + "\n")
            save_table(held_out.curves, results / "curves.csv")
            save_table(predictions, results / "predictions.csv")
        checkpoints.remove()
    accuracy, images = held_out.metrics["accuracy"], held_out.metrics["images"]
    logger.info("%s, fold %d: accuracy %.4f on %d images", family, fold, accuracy, images)


if __name__ == "__main__":
    sys.exit(main())
