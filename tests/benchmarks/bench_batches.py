"""TFRecords to batches against keras.utils.image_dataset_from_directory, on the same 150 px JPEGs.

Run: python tests/benchmarks/bench_batches.py. Target: 3x on the first pass, 20x from memory.
"""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.data.manifest import load_manifest
from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import photos_project

IMAGES, SIZE, BATCH, PASSES = 4000, 150, 32, 3  # passes of Keras; ours are faster and make more


def main() -> None:
    with photos_project(IMAGES, SIZE, "download", "prune", "split", "preprocess"):
        configure_tensorflow(onednn=True, threads=2, portable=True)
        import keras

        from pipeline.data.augmentation import Augmentation
        from pipeline.data.batches import make_training_batches, read_batches

        manifest = load_manifest()
        print(f"{len(manifest):,} JPEGs of {SIZE} px, {manifest['size'].mean() / 1000:.1f} KB each")
        folder = keras.utils.image_dataset_from_directory(
            "photos", image_size=(SIZE, SIZE), batch_size=BATCH, verbose=0
        )
        ours = read_batches("train", batch_size=BATCH)
        training, steps = make_training_batches(
            batch_size=BATCH, seed=1, augmentation=Augmentation(), cache_gb=4, shuffle_buffer=1000
        )
        stream = iter(training)
        num_train = sum(len(labels) for _, labels in ours)

        def keras_pass() -> float:
            return rate(PASSES * len(manifest), lambda: [None for _ in range(PASSES) for _ in folder])

        compare(
            "first pass",  # nothing is cached: every pass reads the files
            lambda: rate(5 * PASSES * num_train, lambda: [None for _ in range(5 * PASSES) for _ in ours]),
            keras_pass,
        )
        epochs = 50
        next(stream)
        compare(
            "from memory, shuffled",
            lambda: rate(num_train * epochs, lambda: [None for _ in itertools.islice(stream, steps * epochs)]),
            keras_pass,
        )


if __name__ == "__main__":
    main()
