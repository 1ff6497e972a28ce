"""Decodes every image once, turns it upright, converts it to RGB and resizes it; writes TFRecords to data/tfrecords."""

import logging
from dataclasses import replace

from pipeline.config.reader import load_params
from pipeline.data.groups import save_groups
from pipeline.data.manifest import load_manifest
from pipeline.data.part_key import compute_part_key
from pipeline.data.raw import NOTES
from pipeline.data.shards import compute_data_digest, count_images, plan_chunks, write_shards
from pipeline.data.splits import load_splits
from pipeline.data.tfrecords import DatasetFacts, save_dataset_facts
from pipeline.runtime.cli import run_verb
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.files import folder_continued
from pipeline.runtime.paths import CODE, MANIFEST, SPLITS, TFRECORDS

logger = logging.getLogger(__name__)


def preprocess() -> None:
    params = load_params()
    settings, image_size = params.preprocess, params.image_size
    table = load_splits().merge(
        load_manifest().drop(columns=["label", *NOTES], errors="ignore"), on=["image_id", "name"], validate="1:1"
    )
    class_names = sorted(table["label"].unique())
    counts = count_images(table, class_names)
    chunks = plan_chunks(
        table,
        class_names,
        image_size=image_size,
        resize=settings.resize,
        num_shards=settings.num_shards,
        value_range=settings.range,
        encoding=settings.encoding,
        quality=settings.quality,
    )
    key = compute_part_key(
        settings.model_dump() | {"image_size": image_size, "classes": class_names},
        [CODE / "preprocess.json", MANIFEST, SPLITS],
    )
    with folder_continued(TFRECORDS, key) as folder:
        with open_cluster(cluster=params.runtime.cluster, address=params.runtime.ray_address) as cluster:
            mean, std = write_shards(chunks, len(table), folder, num_workers=settings.num_workers, runner=cluster)
        facts = DatasetFacts(
            class_names=class_names,
            num_images={split: sum(count.values()) for split, count in counts.items()},
            counts=counts,
            image_size=image_size,
            resize=settings.resize,
            channel_mean=mean,
            channel_std=std,
            range=settings.range,
            encoding=settings.encoding,
            quality=settings.quality,
        )
        save_dataset_facts(replace(facts, digest=compute_data_digest(table, facts)), folder)
        save_groups(table, folder)
    logger.info(f"{len(table):,} images of {len(class_names)} classes at {image_size} px")


if __name__ == "__main__":
    run_verb(preprocess, __doc__)
