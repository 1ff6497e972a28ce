import numpy as np
import pytest
from sklearn.utils.multiclass import _ovr_decision_function

from pipeline.models.build import build_model
from pipeline.models.voting import compute_votes, list_pairs, make_votes, set_planes

pytestmark = pytest.mark.usefixtures("tensorflow")


def draw_decisions(num_classes: int, *, n: int = 200) -> np.ndarray:
    """Distances of which many are votes in a circle, so that sums decide."""
    return np.random.default_rng(num_classes).normal(0, 1, (n, len(list_pairs(num_classes))))


@pytest.mark.parametrize("num_classes", [3, 5, 10])
def test_votes_are_scikit_learns(num_classes):
    decisions = draw_decisions(num_classes)
    expected = _ovr_decision_function(decisions < 0, -decisions, num_classes)
    np.testing.assert_allclose(compute_votes(decisions), expected, atol=1e-12)


def test_of_two_classes_the_plane_decides():
    scores = compute_votes(np.array([[0.5], [-2.0]]))
    assert scores.argmax(axis=1).tolist() == [0, 1]
    assert scores[1, 1] - scores[1, 0] > scores[0, 0] - scores[0, 1]


def test_each_pair_speaks_for_its_first_class():
    assert list_pairs(3) == [(0, 1), (0, 2), (1, 2)]
    assert make_votes(3).tolist() == [[1, -1, 0], [1, 0, -1], [0, 1, -1]]


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_the_model_is_the_softmax_of_the_scaled_votes(num_classes):
    from scipy.special import softmax

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8, 3), np.uint8)
    kernel = rng.normal(0, 0.001, (192, len(list_pairs(num_classes))))
    bias = rng.normal(0, 0.1, kernel.shape[1])
    model = build_model("linear_svm", image_size=8, num_classes=num_classes, solver="svc")
    set_planes(model, kernel, bias, 1.7)
    scores = compute_votes(images.reshape(40, -1) @ kernel + bias)
    probabilities = model(images, training=False).numpy()
    np.testing.assert_allclose(probabilities, softmax(1.7 * scores, axis=1), atol=1e-6)
    assert probabilities.dtype == np.float32


def test_pixels_are_averaged_first():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    model = build_model("linear_svm", image_size=8, num_classes=2, solver="svc", pool=4)
    kernel = np.random.default_rng(1).normal(0, 0.01, (12, 1))
    set_planes(model, kernel, np.zeros(1), 1.0)
    means = images.reshape(5, 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(5, -1)
    np.testing.assert_array_equal(model(images).numpy().argmax(axis=1), compute_votes(means @ kernel).argmax(axis=1))
