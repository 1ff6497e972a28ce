"""Five-fold cross-validation of three values on a frozen backbone, against the studies' method: the backbone in every `fit`.

Run: python tests/benchmarks/bench_crossval.py [IMAGES]. CIFAR-10's first IMAGES training images (default 2,000) and 2,000 test
images, efficientnet_lite0 at 160 px, 10 epochs. Ours is the stage `search`: a grid of three dropout rates, each scored by five
folds, all 15 runs from start to report, on cached features. Theirs is one of the 15 runs that they would need. Goal: 50x per
run. Needs CIFAR-10, which it downloads into the pipeline's cache.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd
import yaml

from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.bench_embeddings import EPOCHS, FAMILY, make_project, train_as_studies
from tests.benchmarks.scenes_project import run_stage

VALUES, FOLDS = [0.1, 0.2, 0.3], 5


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as name:
        folder = make_project(Path(name), images)
        run_stage("embed", folder, FAMILY)
        file = folder / "params.yaml"
        params = yaml.safe_load(file.read_text())
        params["search"] |= {
            "families": [FAMILY],
            "sampler": "grid",
            "score": "crossval",
            "trials": len(VALUES),
            "space": {"train": {"dropout": VALUES}},
        }
        params["search"]["pruning"]["min_trials"] = None
        file.write_text(yaml.safe_dump(params))
        before = time_search(folder)
        theirs, accuracy = time_studies(folder)
        os.chdir(folder)
        ours = (before + time_search(folder)) / 2 / (len(VALUES) * FOLDS)
        scores = pd.read_csv(folder / "metrics" / "search" / FAMILY / "trials.csv")["score"]
    print(
        f"one run of {EPOCHS} epochs, of {len(VALUES) * FOLDS} in a {FOLDS}-fold cross-validation of {len(VALUES)} values: "
        f"{theirs / ours:.1f}x ({ours:.2f} s vs. {theirs:.1f} s; accuracy {scores.min():.3f} to {scores.max():.3f}, and "
        f"{accuracy:.3f} on the first fold of theirs), {os.cpu_count()} cores"
    )


def time_search(folder: Path) -> float:
    """Seconds of the whole search. Measured before and after theirs, as the machine's speed varies."""
    shutil.rmtree(folder / ".dvc" / "cache" / "search", ignore_errors=True)
    return run_stage("search", folder, FAMILY)


def time_studies(folder: Path) -> tuple[float, float]:
    """Seconds and accuracy of one of their runs: the first fold with the first value."""
    os.chdir(folder)
    configure_tensorflow(onednn=True, threads=2, portable=True)
    from pipeline.config.reader import load_params
    from pipeline.data.tfrecords import load_dataset_facts
    from pipeline.models.predictions import predict_split
    from pipeline.training.fold_data import open_fold

    params = load_params(overrides={"train.dropout": VALUES[0]})
    workspace = folder / "fold"
    with open_fold(workspace, FAMILY, load_dataset_facts(), params.crossval, fold=0):
        os.chdir(workspace)
        start = time.perf_counter()
        model = train_as_studies(params)
        seconds = time.perf_counter() - start
        labels, probabilities = predict_split(model, "val")
        os.chdir(folder)
    return seconds, float((probabilities.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    main()
