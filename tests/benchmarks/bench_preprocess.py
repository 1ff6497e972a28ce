"""The preprocess stage's work on all cores against plain Pillow decode and resize on one, times the number of cores.

Run: python tests/benchmarks/bench_preprocess.py. Aim: 0.8x of what the cores could do.
"""

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd
from PIL import Image

from stages.dataset.manifest import load_manifest
from stages.dataset.raw import read_bytes
from stages.dataset.splits import load_splits
from stages.preprocess import plan_chunks, write_shards
from stages.processes import num_cores
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import photos_project

IMAGES, DRAWN, SIZE, PLAIN = 20_000, 200, 150, 3000


def main() -> None:
    """Few pictures, drawn large and read many times: the work is decoding, whichever picture it is."""
    with photos_project(IMAGES // 10, DRAWN, "download", "prune", "split"):
        table = load_splits().merge(load_manifest().drop(columns=["label"]), on=["image_id", "name"])
        rows = table.to_dict("records")[:PLAIN]
        table = pd.concat([table] * (IMAGES // len(table)), ignore_index=True)
        names = sorted(table["label"].unique())

        def plain() -> None:
            for row in rows:
                image = Image.open(io.BytesIO(read_bytes(row["shard"], row["offset"], row["size"])))
                image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)

        def ours() -> None:
            with tempfile.TemporaryDirectory() as folder:
                chunks = plan_chunks(table, names, image_size=SIZE, resize="stretch", num_shards=4)
                write_shards(chunks, len(table), Path(folder), num_workers=None)

        compare(
            "preprocess of what the cores can decode",
            lambda: rate(len(table), ours),
            lambda: rate(len(rows), plain) * num_cores(),
            rounds=3,
        )


if __name__ == "__main__":
    main()
