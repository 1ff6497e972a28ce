"""At which input size a frozen backbone is best: validation accuracy of its head, and the images/s of `embed` that it costs.

Run: python tests/benchmarks/bench_input_size.py [FAMILY…] [--sizes PIXELS…] [--seeds N]. About 4,000 training and 2,000
validation images of CIFAR-10's training set, without augmented views. Needs CIFAR-10, which it downloads into the pipeline's
cache. Rates are per second of processor time, of one core, without the import of TensorFlow.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import yaml

from tests.benchmarks.scenes_project import PROJECT, run_stage

SIZES = (128, 160, 192, 224, 240, 260)
_IMPORT = (
    "from pipeline.runtime.tensorflow import configure_tensorflow as configure; "
    "configure(onednn=True, threads=2, portable=True); import keras"
)
IMAGES = 7_200  # of which CIFAR-10's own test split is a sixth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=["efficientnet_lite1", "efficientnet_lite2"])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = make_project(Path(name), arguments.families)
        facts = json.loads((folder / "data/tfrecords/dataset.json").read_text())
        print(facts["num_images"], flush=True)
        for family in arguments.families:
            for size in arguments.sizes:
                print(measure(folder, family, size, arguments.seeds, sum(facts["num_images"].values())), flush=True)


def make_project(folder: Path, families: list[str]) -> Path:
    """Writes params.yaml and data up to data/tfrecords into `folder`."""
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["data"]["source"] = "cifar10"
    params["prune"]["max_images_per_class"] = IMAGES // 10
    params["split"]["val_fraction"] = 1 / 3
    params["embed"]["views"] = 0
    params["families"] = families
    write_params(folder, params)
    for stage in ("code", "check", "download", "prune", "split", "preprocess"):
        run_stage(stage, folder)
    return folder


def write_params(folder: Path, params: dict) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def measure(folder: Path, family: str, size: int, seeds: int, images: int) -> str:
    """One row of the table."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["recipes"].setdefault(family, {})["input_size"] = size
    write_params(folder, params)
    before = use_processor()
    subprocess.run([sys.executable, "-c", _IMPORT], cwd=PROJECT, check=True, capture_output=True)
    between = use_processor()
    run_stage("embed", folder, family)
    seconds = use_processor() - between - (between - before)
    found = []
    for seed in range(1, seeds + 1):
        params["train"]["seed"] = seed
        write_params(folder, params)
        run_stage("train", folder, family)
        best = json.loads((folder / f"metrics/{family}/train/metrics.json").read_text())["best"]
        found.append(best["val_accuracy"])
    mean, rate = np.mean(found), images / seconds
    return f"{family:20} {size} px  {mean:.4f} ({min(found):.4f} to {max(found):.4f})  {rate:6.1f} images per core and second"


def use_processor() -> float:
    """Seconds that ended processes of this one have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
