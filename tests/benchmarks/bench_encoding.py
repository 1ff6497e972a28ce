"""TFRecords of encoded pixels against raw ones: bytes, preprocess, an epoch's reading, and what the loss does to accuracy.

Run: python tests/benchmarks/bench_encoding.py [SIDE]. Noisy JPEGs of SIDE pixels, default 150;
rates are per second of processor time, so that other work on the machine changes little.
With `sizes`, bytes alone. For each encoding a head on efficientnet_lite0, with three seeds,
python tests/benchmarks/bench_encoding.py accuracy [IMAGES] [FOLDER]: on so many of CIFAR-10's pictures, default 2000,
or on those of a folder of classes, at the backbone's 160 px; at most IMAGES of each class.
"""

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_recipe
from pipeline.config.types import Encoding
from pipeline.data.manifest import load_manifest
from pipeline.data.pixel_encoding import decode_pixels, encode_pixels
from pipeline.data.shards import count_images, plan_chunks, write_shards
from pipeline.data.splits import load_splits
from pipeline.data.tfrecords import DatasetFacts, save_dataset_facts
from pipeline.evaluation.intervals import compute_accuracy_interval
from pipeline.runtime.files import remove
from pipeline.runtime.tensorflow import configure_tensorflow, seed_everything
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene
from tests.benchmarks.pairs import compare
from tests.benchmarks.scenes_project import PROJECT, photos_project, run_stage

IMAGES, ROUNDS, UNIT = 500, 3, "images/s of a core"
FAMILY, SEEDS, PHOTO_SIDE = "efficientnet_lite0", (1, 2, 3), 160
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
        measure_accuracy(int(sys.argv[2]) if len(sys.argv) > 2 else 2000, *map(Path, sys.argv[3:4]))
    elif sys.argv[1:2] == ["sizes"]:
        measure_sizes()
    else:
        measure_speed(int(sys.argv[1]) if len(sys.argv) > 1 else 150)


def measure_sizes() -> None:
    """Of single images, without a project: a few seconds."""
    for what, side, grain, count in (("noisy photos", 150, 12, 30), ("scenes", 64, 0, 60)):
        images = [draw(side, grain, index) for index in range(count)]
        for encoding, quality in ENCODINGS:
            files = [encode_pixels(Image.fromarray(image), encoding, quality) for image in images]
            again = [decode_pixels(file, encoding, side) for file in files]
            error = np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(images, again, strict=True)])
            share = sum(map(len, files)) / sum(image.size for image in images)
            print(
                f"{what}, {side} px, {encoding} {quality}: {share:.3f} of raw bytes, {error:.1f} of 255 off on average"
            )


def draw(side: int, grain: int, index: int) -> np.ndarray:
    """A scene as a JPEG of quality 95, with noise of that deviation, or as it is drawn."""
    pixels = draw_scene(CLASS_NAMES[index % 5], image_size=side, seed=1, index=index)
    if not grain:
        return pixels
    noise = np.random.default_rng(index).normal(0, grain, pixels.shape).astype(np.int16)
    picture = Image.fromarray(np.clip(pixels.astype(np.int16) + noise, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    return np.asarray(Image.open(file))


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
        lambda: rate_of_core(len(table), lambda: write(table, ours, side, encoding, quality)),
        lambda: rate_of_core(len(table), lambda: write(table, raw, side, "raw", 100)),
        rounds=ROUNDS,
        unit=UNIT,
    )
    print(f"bytes, {what}: {measure(ours) / measure(raw):.3f}x")
    compare(f"an epoch's reading, {what}", lambda: read(ours), lambda: read(raw), rounds=ROUNDS, unit=UNIT)


def write(table: pd.DataFrame, folder: Path, side: int, encoding: Encoding, quality: int) -> None:
    """Writes TFRecords anew into a folder, as `preprocess` does."""
    remove(folder)
    folder.mkdir()
    names = sorted(table["label"].unique())
    counts = count_images(table, names)
    chunks = plan_chunks(
        table, names, image_size=side, resize="stretch", num_shards=4, encoding=encoding, quality=quality
    )
    mean, std = write_shards(chunks, len(table), folder, num_workers=1)
    numbers = {split: sum(count.values()) for split, count in counts.items()}
    facts = DatasetFacts(names, numbers, counts, side, "stretch", mean, std, encoding=encoding, quality=quality)
    save_dataset_facts(facts, folder)


def rate_of_core(count: int, work: Callable[[], object]) -> float:
    """How many of `count` things are done per second of processor time of this process, all threads together."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def measure(folder: Path) -> int:
    """Bytes of all TFRecords."""
    return sum(file.stat().st_size for file in folder.glob("*.tfrecord"))


def read(folder: Path) -> float:
    """Training images per second, three times through the files."""
    from pipeline.data.batches import read_batches

    batches = read_batches("train", batch_size=32, folder=folder)
    number = sum(len(labels) for _, labels in batches)
    return rate_of_core(3 * number, lambda: [None for _ in range(3) for _ in batches])


def measure_accuracy(images: int, photos: Path | None = None) -> None:
    """As stored: test images that have been through the encoding, as in `evaluate`. As they were: raw ones, as in `predict`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = yaml.safe_load((PROJECT / "params.yaml").read_text())
        params["prune"] |= {"max_images_per_class": images if photos else images // 10, "thin": "all"}
        params["data"]["source"] = "folder" if photos else "cifar10"
        if photos:
            params["data"]["path"] = str(photos.resolve())
            params["preprocess"]["image_size"] = PHOTO_SIDE
            params["split"]["test_fraction"] = 0.4  # folders of photographs that can be had are small
        params["families"] = [FAMILY]
        params["embed"]["views"] = 0
        os.chdir(folder)
        save(params)
        for stage in ("code", "check", *(["locate"] if photos else []), "download", "prune", "split"):
            run_stage(stage, folder)
        configure_tensorflow(**load_params().runtime.arithmetic)
        raw: dict[str, np.ndarray] = {}
        for encoding, quality in [("raw", 100), *ENCODINGS]:
            params["preprocess"] |= {"encoding": encoding, "quality": quality}
            save(params)
            run_stage("preprocess", folder)
            run_stage("embed", folder, FAMILY)
            if encoding == "raw":
                shutil.copytree("data/tfrecords", "raw")
            hits = find_hits(folder)
            raw = raw or hits
            share = measure(folder / "data" / "tfrecords") / measure(folder / "raw")
            said = "; ".join(f"{what} {describe(found, raw[what])}" for what, found in hits.items())
            print(f"{encoding} {quality}, {share:.2f} of raw bytes: {said}", flush=True)


def find_hits(folder: Path) -> dict[str, np.ndarray]:
    """Of heads trained with each seed on data/embeddings: bool (seeds, n), which test images they classify correctly, the same
    images in the same order whatever the encoding."""
    from pipeline.data.batches import load_split
    from pipeline.models.predictions import predict_split
    from pipeline.training.head import train_transfer

    params, (images, truth) = load_params(), load_split("test", folder=folder / "raw")
    recipe = resolve_recipe(params.train, params.recipes[FAMILY])
    found: dict[str, list[np.ndarray]] = {"as stored": [], "as they were": []}
    for seed in SEEDS:
        seed_everything(seed)
        with tempfile.TemporaryDirectory() as record:
            model = train_transfer(
                FAMILY, recipe, seed=seed, cache_gb=4, shuffle_buffer=1000, record=Path(record) / "record"
            )
        labels, probabilities = predict_split(model, "test")
        found["as stored"].append(probabilities.argmax(axis=1) == labels)
        answers = model.predict(images, batch_size=32, verbose=0)
        found["as they were"].append(answers.argmax(axis=1) == truth)
    return {what: np.stack(rows) for what, rows in found.items()}


def describe(hits: np.ndarray, raw: np.ndarray) -> str:
    """The accuracy, mean of the seeds, with Wilson's interval of so many images; its distance from that of raw pixels, image by
    image, in points, with a 95 % interval by the normal approximation. hits, raw: bool (seeds, n)."""
    shares, count = hits.mean(axis=0), hits.shape[1]
    low, high = compute_accuracy_interval(round(float(shares.sum())), count)
    differences = 100 * (shares - raw.mean(axis=0))
    middle, margin = differences.mean(), 1.96 * differences.std(ddof=1) / count**0.5
    away = f"{middle:+.1f} points ({middle - margin:+.1f} to {middle + margin:+.1f})"
    return f"{shares.mean():.3f} ({low:.3f}-{high:.3f}, n={count:,}), {away}"


def save(params: dict) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params))


if __name__ == "__main__":
    main()
