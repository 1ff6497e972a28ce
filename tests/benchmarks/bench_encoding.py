"""TFRecords of encoded pixels against raw ones: bytes, preprocess, an epoch's reading, and what the loss does to accuracy.

Run: python tests/benchmarks/bench_encoding.py [SIDE]. Noisy JPEGs of SIDE pixels, default 150. Or, on CIFAR-10's pictures,
python tests/benchmarks/bench_encoding.py accuracy [IMAGES]: a head on efficientnet_lite0 for each encoding, with three seeds.
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd
import yaml

from pipeline.config.types import Encoding
from pipeline.data.manifest import load_manifest
from pipeline.data.shards import count_images, plan_chunks, write_shards
from pipeline.data.splits import load_splits
from pipeline.data.tfrecords import DatasetFacts, save_dataset_facts
from pipeline.runtime.files import remove
from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import PROJECT, photos_project, run_stage

IMAGES, ROUNDS = 2000, 3
FAMILY, SEEDS = "efficientnet_lite0", (1, 2, 3)
ENCODINGS: list[tuple[Encoding, int]] = [
    ("jpeg", 75),
    ("jpeg", 90),
    ("jpeg", 95),
    ("webp", 75),
    ("webp", 90),
    ("webp", 100),
]


def main() -> None:
    if sys.argv[1:2] == ["accuracy"]:
        measure_accuracy(int(sys.argv[2]) if len(sys.argv) > 2 else 5000)
    else:
        measure_speed(int(sys.argv[1]) if len(sys.argv) > 1 else 150)


def measure_speed(side: int) -> None:
    with photos_project(IMAGES, side, "download", "prune", "split"):
        configure_tensorflow(onednn=True, threads=2, portable=True)
        table = load_splits().merge(load_manifest().drop(columns=["label"]), on=["image_id", "name"])
        for encoding, quality in ENCODINGS:
            compare_with_raw(table, side, encoding, quality)


def compare_with_raw(table: pd.DataFrame, side: int, encoding: Encoding, quality: int) -> None:
    """Prints three ratios. table: a row per image, as `plan_chunks` wants it."""
    what = f"{encoding} {quality} against raw, {side} px"
    ours, raw = Path("ours"), Path("raw")
    compare(
        f"preprocess, {what}",
        lambda: rate(len(table), lambda: write(table, ours, side, encoding, quality)),
        lambda: rate(len(table), lambda: write(table, raw, side, "raw", 100)),
        rounds=ROUNDS,
    )
    print(f"bytes, {what}: {measure(ours) / measure(raw):.3f}x")
    compare(f"an epoch's reading, {what}", lambda: read(ours), lambda: read(raw), rounds=ROUNDS)


def write(table: pd.DataFrame, folder: Path, side: int, encoding: Encoding, quality: int) -> None:
    """Writes TFRecords anew into a folder, as `preprocess` does."""
    remove(folder)
    folder.mkdir()
    names = sorted(table["label"].unique())
    counts = count_images(table, names)
    chunks = plan_chunks(
        table, names, image_size=side, resize="stretch", num_shards=4, encoding=encoding, quality=quality
    )
    mean, std = write_shards(chunks, len(table), folder, num_workers=None)
    numbers = {split: sum(count.values()) for split, count in counts.items()}
    facts = DatasetFacts(names, numbers, counts, side, "stretch", mean, std, encoding=encoding, quality=quality)
    save_dataset_facts(facts, folder)


def measure(folder: Path) -> int:
    """Bytes of all TFRecords."""
    return sum(file.stat().st_size for file in folder.glob("*.tfrecord"))


def read(folder: Path) -> float:
    """Training images per second, three times through the files."""
    from pipeline.data.batches import read_batches

    batches = read_batches("train", batch_size=32, folder=folder)
    number = sum(len(labels) for _, labels in batches)
    return rate(3 * number, lambda: [None for _ in range(3) for _ in batches])


def measure_accuracy(images: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = yaml.safe_load((PROJECT / "params.yaml").read_text())
        params["data"]["source"] = "cifar10"
        params["prune"] |= {"max_images_per_class": images // 10, "thin": "all"}
        params["families"] = [FAMILY]
        os.chdir(folder)
        save(params)
        for stage in ("code", "check", "locate", "download", "prune", "split"):
            run_stage(stage, folder)
        for encoding, quality in [("raw", 100), *ENCODINGS]:
            params["preprocess"] |= {"encoding": encoding, "quality": quality}
            print(f"{encoding} {quality}: {describe(folder, params)}", flush=True)


def describe(folder: Path, params: dict) -> str:
    """Trains with each seed, and says how accurate that is on test."""
    found = []
    for seed in SEEDS:
        params["train"]["seed"] = seed
        save(params)
        run_stage("check", folder)
        if seed == SEEDS[0]:
            run_stage("preprocess", folder)
            run_stage("embed", folder, FAMILY)
        for stage in ("train", "evaluate"):
            run_stage(stage, folder, FAMILY)
        found.append(json.loads((folder / "metrics" / FAMILY / "metrics.json").read_text())["test_accuracy"])
    megabytes = measure(folder / "data" / "tfrecords") / 1e6
    shown = ", ".join(f"{accuracy:.4f}" for accuracy in found)
    return f"accuracy {statistics.mean(found):.4f} ({shown}), TFRecords {megabytes:.1f} MB"


def save(params: dict) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params))


if __name__ == "__main__":
    main()
