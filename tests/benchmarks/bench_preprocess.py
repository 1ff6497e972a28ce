"""The preprocess stage on all cores against Pillow's decode and resize on one core, times the number of cores.

Run: python tests/benchmarks/bench_preprocess.py [SIDE]. SIDE: pixels of the JPEGs, default 320; they become 150 px.
Target: 0.8x. Smaller images give less, as reading, checking and writing take the same time for all sizes. JPEGs of at least
twice the target size are decoded at a reduced scale, which the baseline does not do.
"""

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd
from PIL import Image

from pipeline.data.manifest import load_manifest
from pipeline.data.raw import read_bytes
from pipeline.data.shards import plan_chunks, write_shards
from pipeline.data.splits import load_splits
from pipeline.runtime.processes import num_cores
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import photos_project

IMAGES, SIZE, PLAIN = 20_000, 150, 5000


def main() -> None:
    """Reads a few large images many times: what takes time is decoding, whichever image it is."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 320
    with photos_project(IMAGES // 20, side, "download", "prune", "split"):
        table = load_splits().merge(load_manifest().drop(columns=["label"]), on=["image_id", "name"])
        rows = (table.to_dict("records") * 10)[:PLAIN]
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
            f"preprocess against decoding alone, {side} px JPEGs",
            lambda: rate(len(table), ours),
            lambda: rate(len(rows), plain) * num_cores(),
            rounds=3,
        )


if __name__ == "__main__":
    main()
