"""Writes data/tfrecords as preprocess does, from arrays."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config.types import Encoding
from pipeline.data.pixel_encoding import encode_pixels
from pipeline.data.tfrecords import encode_record
from pipeline.runtime.paths import TFRECORDS

Split = tuple[np.ndarray, np.ndarray]


def write_records(
    folder: Path = TFRECORDS,
    *,
    class_names: list[str],
    num_shards: int = 2,
    encoding: Encoding = "raw",
    quality: int = 100,
    **splits: Split,
) -> None:
    """splits: name to (uint8 images (n, size, size, 3), labels (n,))."""
    folder.mkdir(parents=True)
    counts = {}
    for split, (images, labels) in splits.items():
        records = [
            encode_record(
                encode_pixels(Image.fromarray(pixels), encoding, quality),
                label=int(label),
                image_id=f"{split}-id-{i}",
                name=f"{class_names[label]}/{i}.png",
            )
            for i, (pixels, label) in enumerate(zip(images, labels, strict=True))
        ]
        for shard, rows in enumerate(np.array_split(np.arange(len(records)), num_shards)):
            file = folder / f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord"
            file.write_bytes(b"".join(records[i] for i in rows))
        counts[split] = {name: int(np.sum(labels == number)) for number, name in enumerate(class_names)}
    facts = {
        "class_names": class_names,
        "num_images": {split: len(images) for split, (images, _) in splits.items()},
        "counts": counts,
        "image_size": next(iter(splits.values()))[0].shape[1],
        "resize": "stretch",
        "channel_mean": _per_channel(splits, np.mean),
        "channel_std": _per_channel(splits, np.std),
    }
    if encoding != "raw":
        facts |= {"encoding": encoding, "quality": quality}
    (folder / "dataset.json").write_text(json.dumps(facts))


def _per_channel(splits: dict[str, Split], statistic: Callable[..., np.ndarray]) -> list[float]:
    images = splits["train"][0] if "train" in splits else next(iter(splits.values()))[0]
    return [round(float(value), 4) for value in statistic(images.reshape(-1, 3), axis=0)]


def make_noise(count: int, size: int, *, seed: int = 0) -> np.ndarray:
    """uint8 (count, size, size, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def make_coloured_split(count: int, size: int, *, strength: int = 150, seed: int = 0) -> Split:
    """Noisy images whose colour is their class: red, green, blue. strength: added to one channel; noise is below 64."""
    labels = np.arange(count) % 3
    images = make_noise(count, size, seed=seed) // 4
    for image, label in zip(images, labels, strict=True):
        image[..., label] += strength
    return images, labels
