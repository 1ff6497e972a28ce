from dataclasses import replace

import pytest

from pipeline.config.reader import load_params
from pipeline.doctor.needs import estimate_disk, estimate_memory
from tests.pipeline.doctor.measured import SPEEDS, make_trials

SPLITS = {"train": 6_000, "val": 2_000, "test": 2_000}


@pytest.fixture
def params(project):
    def load(**values):
        project.set(preprocess__image_size=100, **values)
        return load_params()

    return load


def test_disk_is_raw_pixels_features_and_models(params):
    found = estimate_disk(params(embed__views=1), SPLITS, 12_000, make_trials(10), SPEEDS)
    assert found.raw == 12_000 * 100_000
    assert found.tfrecords == pytest.approx(10_000 * 30_000, rel=0.02)
    assert found.embeddings == 16_000 * 1280 * 4
    assert found.models == 4 * 3_001_000
    assert found.total == found.raw + found.tfrecords + found.embeddings + found.models


def test_pictures_that_stay_where_they_are_take_nothing(params):
    loaded = params(data__source="folder", data__keep="reference")
    assert estimate_disk(loaded, SPLITS, 12_000, make_trials(10), SPEEDS).raw == 0


@pytest.mark.parametrize(("encoding", "quality", "share"), [("jpeg", 100, 0.5), ("webp", 90, 0.5), ("webp", 100, 0.9)])
def test_encoded_pixels_take_less(params, encoding, quality, share):
    raw = estimate_disk(params(), SPLITS, 0, make_trials(10), {}).tfrecords
    loaded = params(preprocess__encoding=encoding, preprocess__quality=quality)
    assert estimate_disk(loaded, SPLITS, 0, make_trials(10), {}).tfrecords == pytest.approx(share * raw, rel=0.01)


def test_activations_at_a_cut_count_too_but_not_of_test(params):
    plain, cut = SPEEDS["efficientnet_lite0"], replace(SPEEDS["efficientnet_lite0"], cut_numbers=4800)
    loaded = params(families=["efficientnet_lite0"], embed__views=1)
    found = [
        estimate_disk(loaded, SPLITS, 0, make_trials(10), {"efficientnet_lite0": speed}).embeddings
        for speed in (plain, cut)
    ]
    assert found[1] - found[0] == 14_000 * 4800 * 2


def test_half_precision_takes_half_and_an_unmeasured_backbone_counts_as_the_widest(params):
    whole = estimate_disk(params(), SPLITS, 0, make_trials(10), {}).embeddings
    assert whole == 16_000 * 2048 * 4
    assert estimate_disk(params(embed__dtype="float16"), SPLITS, 0, make_trials(10), {}).embeddings == whole / 2


def test_memory_holds_the_training_pictures_if_the_cache_may(params):
    kept = estimate_memory(params(families=["underfit"]), SPLITS, make_trials(10), SPEEDS, 2).train
    assert kept == 1_000_000_000 + (6_000 + 2_000) * 30_000
    streamed = estimate_memory(
        params(train__cache_gb=0.0, train__shuffle_buffer=100), SPLITS, make_trials(10), SPEEDS, 2
    )
    assert streamed.train < kept


def test_a_linear_machine_is_bounded_by_max_gb(params):
    small = estimate_memory(params(recipes__linear_svm={"C": 1.0, "max_gb": 0.1}), SPLITS, make_trials(10), SPEEDS, 2)
    assert small.linear == 1_000_000_000 + 300_000_000
    large = estimate_memory(params(recipes__linear_svm={"C": 1.0}), SPLITS, make_trials(10), SPEEDS, 2)
    assert large.linear == 1_000_000_000 + 3 * 6_000 * 30_000 * 4


def test_decoding_takes_a_picture_per_worker(params):
    found = estimate_memory(params(), SPLITS, make_trials(10), SPEEDS, 4)
    assert found.decode == 4 * 400 * 300 * 16
    assert found.most == max(found.train, found.linear)
