import numpy as np
import pytest

from pipeline.data import feature_statistics
from pipeline.data.embeddings import Rows
from pipeline.data.feature_statistics import compute_statistics


@pytest.fixture
def features() -> np.ndarray:
    """Of three sizes, the last far from 0 for its deviation."""
    return np.random.default_rng(0).normal([0.5, -3.0, 1000.0], [0.01, 2.0, 0.1], (100, 3)).astype(np.float32)


class TestStatistics:
    def test_they_are_mean_and_deviation_in_double_precision(self, features):
        mean, deviation = compute_statistics(Rows([features]))
        assert mean.dtype == deviation.dtype == np.float64
        np.testing.assert_allclose(mean, features.mean(axis=0, dtype=np.float64), rtol=1e-12)
        np.testing.assert_allclose(deviation, features.std(axis=0, dtype=np.float64), rtol=1e-6)

    def test_rows_of_several_files_count_alike(self, features):
        for ours, whole in zip(
            compute_statistics(Rows([features[:7], features[7:]])), compute_statistics(Rows([features])), strict=True
        ):
            np.testing.assert_array_equal(ours, whole)

    def test_what_is_read_at_a_time_changes_rounding_only(self, features, monkeypatch):
        whole = compute_statistics(Rows([features]))
        monkeypatch.setattr(feature_statistics, "_ROWS", 3)
        for ours, expected in zip(compute_statistics(Rows([features])), whole, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-9)

    def test_a_feature_that_is_always_the_same_is_left_as_large_as_it_is(self):
        mean, deviation = compute_statistics(Rows([np.full((5, 2), [3.0, 0.1], np.float32)]))
        np.testing.assert_allclose(mean, [3.0, 0.1], rtol=1e-6)
        assert deviation.tolist() == [1.0, 1.0]

    def test_so_is_that_of_a_single_image(self):
        assert compute_statistics(Rows([np.ones((1, 4), np.float32)])).deviation.tolist() == [1.0] * 4
