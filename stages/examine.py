"""Examines the data before any model does: class counts, sizes, brightness, near duplicates across splits, homogeneous splits.

Writes data/examination/: classes.csv (label, stage, images: found, kept and in each split), images.csv (one row per image that
is used), near_duplicates.csv (one row per image of test or val that one of train resembles), faults.csv (name,
label, fault, value: constant, dark, blurry, odd size and others), pixels.csv (split, stage: before or after resizing, and the
range of pixel values), facts.json.
"""

import logging
from dataclasses import asdict
from tempfile import TemporaryFile

from pipeline.config.reader import load_params
from pipeline.data.class_counts import compare_splits, count_classes
from pipeline.data.examination import Examination, ExaminationFacts, save_examination
from pipeline.data.faults import describe_faults, find_faults
from pipeline.data.image_statistics import measure_images
from pipeline.data.kept_parts import open_parts
from pipeline.data.manifest import load_manifest
from pipeline.data.near_duplicates import NEAR_COPY, find_near_duplicates
from pipeline.data.part_key import compute_part_key
from pipeline.data.pixel_values import make_pixel_table, measure_originals
from pipeline.data.raw import load_labels
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.runtime.cli import run_verb
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.paths import CODE, EXAMINATION, MANIFEST, MEASURED, TFRECORDS

logger = logging.getLogger(__name__)


def examine() -> None:
    params = load_params()
    least = params.examine.near_duplicate
    dataset, manifest = load_dataset_facts(), load_manifest()
    boxed = manifest if dataset.resize == "letterbox" else manifest[:0]
    sizes = dict(zip(boxed["name"], zip(boxed["width"], boxed["height"], strict=True), strict=True))
    key = compute_part_key({}, [CODE / "examine.json", MANIFEST, *sorted(TFRECORDS.iterdir())])
    parts = open_parts(MEASURED, key)
    with TemporaryFile(dir=EXAMINATION.parent) as room:  # without a name: a run that is killed leaves nothing of it
        with open_cluster(cluster=params.runtime.cluster, address=params.runtime.ray_address) as cluster:
            workers = params.preprocess.num_workers
            measured = measure_images(dataset, workers, sizes, runner=cluster, room=room, parts=parts)
            places = measured.images[["name", "split"]].merge(manifest, on="name")
            originals = measure_originals(places, dataset.range, workers, runner=cluster, parts=parts)
        facts = manifest[["name", "width", "height", "mode"]]
        images = measured.images.merge(facts, on="name", how="left", validate="1:1")
        near = find_near_duplicates(images, measured.outlines, least)
    faults = find_faults(images, measured.looks, manifest, near, params.examine.faults)
    pixels = make_pixel_table(originals, measured.values)
    classes = count_classes(load_labels(), manifest["label"], dataset.counts)
    tested = ExaminationFacts(**asdict(compare_splits(dataset.counts)), near_duplicate=least)
    save_examination(
        Examination(classes=classes, images=images, near_duplicates=near, faults=faults, pixels=pixels, facts=tested)
    )
    parts.remove()
    for fault, labels in describe_faults(faults).items():
        logger.warning("%s: %s", fault, labels)
    copies = int((near["similarity"] >= NEAR_COPY).sum())
    like = f"{copies:,} of val and test are near copies of an image of train, {len(near) - copies:,} more are similar to one"
    logger.info(f"{len(images):,} images; {like}")


if __name__ == "__main__":
    run_verb(examine, __doc__)
