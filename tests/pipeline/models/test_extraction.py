"""Which images a worker of a cluster embeds at a time. That the bytes are the same: tests/test_clusters.py."""

import pytest

from pipeline.config.sections import Embed
from pipeline.data.embeddings import EmbeddingFacts

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.mark.parametrize("total", [1, 511, 512, 513, 5000])
@pytest.mark.parametrize("batch_size", [1, 32, 600])
@pytest.mark.parametrize("cut_shape", [[], [14, 14, 112]])
def test_parts_are_whole_batches_and_cover_all_images_once(total, batch_size, cut_shape):
    from pipeline.models.extraction import _TASK_BYTES, Extraction, _cut

    facts = EmbeddingFacts("none", "the key", "the weights", 1280, "float32", 0, {"train": total}, cut_shape=cut_shape)
    settings = Embed(views=0, dtype="float32", batch_size=batch_size, seed=1)
    parts = list(_cut(Extraction("mobilenet", facts, settings, {}, {}, "none", None, {}), "train"))
    assert [number for first, size in parts for number in range(first, first + size)] == list(range(total))
    assert all(first % batch_size == 0 for first, _ in parts)
    width = 1280 + (14 * 14 * 112 if cut_shape else 0)
    assert all(size <= batch_size or (size <= 512 and size * width * 4 <= _TASK_BYTES) for _, size in parts)
