import numpy as np
import pytest
from sklearn.svm import LinearSVC

MANY_IMAGES, MANY_FEATURES = (240, 20), (40, 150)  # n ≥ d, and n < d, where the problem is rotated first
BOTH_SHAPES = pytest.mark.parametrize("shape", [MANY_IMAGES, MANY_FEATURES])


@pytest.fixture(scope="module")
def linear(tensorflow):  # noqa: ARG001 - must be configured before the module imports it
    from pipeline.training import one_against_rest as linear

    return linear


@pytest.fixture
def exact(linear, monkeypatch):
    """Tolerances so small that the minimum is exact."""
    monkeypatch.setattr(linear, "_DECREASE", 1e-14)
    monkeypatch.setattr(linear, "_TOLERANCE", 1e-7)
    return linear


def make_problem(shape: tuple[int, int], *, num_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds of points, like pixels: float32 (n, d), 0 to 1."""
    rng, (n, d) = np.random.default_rng(0), shape
    labels = np.arange(n) % num_classes
    features = rng.uniform(0.3, 0.7, (num_classes, d))[labels] + rng.normal(0, 0.2, shape)
    return np.clip(features, 0, 1).astype(np.float32), labels


def fit(linear, features, labels, *, penalties=None, max_iterations=5000):
    penalties = np.ones(len(labels)) if penalties is None else penalties
    num_classes = int(labels.max()) + 1
    return linear.fit_hyperplanes(
        features, labels, num_classes=num_classes, penalties=penalties, max_iterations=max_iterations
    )


def fit_liblinear(features, labels, *, penalties=None) -> LinearSVC:
    """liblinear regularizes the intercept, the less the larger its scale."""
    machine = LinearSVC(C=1.0, dual=False, intercept_scaling=1e3, tol=1e-10, max_iter=100_000)
    return machine.fit(features.astype(np.float64), labels, sample_weight=penalties)


def objective(features, labels, penalties, kernel, bias) -> float:
    signs = np.where(np.arange(kernel.shape[1]) == labels[:, None], 1.0, -1.0)
    slack = np.maximum(0, 1 - signs * (features @ kernel + bias))
    return 0.5 * np.square(kernel).sum() + (penalties[:, None] * slack**2).sum()


class TestHyperplanes:
    @BOTH_SHAPES
    def test_weights_are_those_of_liblinear(self, exact, shape):
        features, labels = make_problem(shape)
        planes, liblinear = fit(exact, features, labels), fit_liblinear(features, labels)
        largest = np.abs(liblinear.coef_).max()
        np.testing.assert_allclose(planes.kernel, liblinear.coef_.T, atol=0.005 * largest)
        np.testing.assert_allclose(planes.bias, liblinear.intercept_, atol=0.01 * np.abs(liblinear.intercept_).max())

    @BOTH_SHAPES
    def test_predictions_are_those_of_liblinear_at_the_default_tolerance(self, linear, shape):
        features, labels = make_problem(shape)
        planes = fit(linear, features, labels)
        predicted = (features @ planes.kernel + planes.bias).argmax(axis=1)
        assert np.mean(predicted == fit_liblinear(features, labels).predict(features)) >= 0.98

    @BOTH_SHAPES
    def test_the_objective_is_within_a_thousandth_of_liblinears(self, linear, shape):
        features, labels = make_problem(shape)
        planes, liblinear, penalties = (
            fit(linear, features, labels),
            fit_liblinear(features, labels),
            np.ones(len(labels)),
        )
        ours = objective(features, labels, penalties, planes.kernel, planes.bias)
        assert ours <= 1.001 * objective(features, labels, penalties, liblinear.coef_.T, liblinear.intercept_)

    @BOTH_SHAPES
    @pytest.mark.parametrize("weights", [(1.0, 1.0, 5.0), (0.1, 1.0, 1.0)])
    def test_each_image_has_its_own_penalty(self, exact, shape, weights):
        features, labels = make_problem(shape)
        penalties = 0.3 * np.array(weights)[labels]
        planes, liblinear = (
            fit(exact, features, labels, penalties=penalties),
            fit_liblinear(features, labels, penalties=penalties),
        )
        np.testing.assert_allclose(planes.kernel, liblinear.coef_.T, atol=0.005 * np.abs(liblinear.coef_).max())

    def test_two_classes_have_mirrored_hyperplanes(self, exact):
        planes = fit(exact, *make_problem(MANY_IMAGES, num_classes=2))
        assert planes.kernel.shape == (20, 2)
        np.testing.assert_allclose(planes.kernel[:, 0], -planes.kernel[:, 1], atol=1e-2)
        assert planes.bias[0] == pytest.approx(-planes.bias[1], abs=1e-2)

    @BOTH_SHAPES
    def test_an_image_twice_is_the_image_with_twice_the_penalty(self, exact, shape):
        features, labels = make_problem(shape)
        twice = fit(exact, np.concatenate([features, features]), np.concatenate([labels, labels]))
        double = fit(exact, features, labels, penalties=np.full(len(labels), 2.0))
        np.testing.assert_allclose(twice.kernel, double.kernel, atol=0.01 * np.abs(double.kernel).max())

    @BOTH_SHAPES
    def test_they_are_reproducible(self, linear, shape):
        first, again = (fit(linear, *make_problem(shape)) for _ in range(2))
        np.testing.assert_array_equal(first.kernel, again.kernel)
        np.testing.assert_array_equal(first.bias, again.bias)

    @BOTH_SHAPES
    def test_a_constant_pixel_has_no_weight(self, linear, shape):
        features, labels = make_problem(shape)
        features[:, 4] = 0.5
        np.testing.assert_allclose(fit(linear, features, labels).kernel[4], 0, atol=1e-5)

    @pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
    def test_identical_images_give_finite_weights(self, linear, shape):
        planes = fit(linear, np.full(shape, 0.5, np.float32), np.arange(shape[0]) % 3)
        assert planes.kernel.shape == (shape[1], 3)
        assert np.isfinite(planes.kernel).all()
        assert np.isfinite(planes.bias).all()

    def test_too_few_iterations_are_reported(self, linear):
        planes = fit(linear, *make_problem(MANY_IMAGES), max_iterations=1)
        assert (planes.converged, planes.iterations) == (False, 1)
        assert fit(linear, *make_problem(MANY_IMAGES)).converged

    def test_they_are_the_same_on_any_number_of_cores(self, linear, monkeypatch):
        """In shares of 16 images."""
        monkeypatch.setattr(linear, "_ROWS", 16)
        found = []
        for cores in (1, 3):
            monkeypatch.setattr(linear, "num_cores", lambda cores=cores: cores)
            found.append(fit(linear, *make_problem(MANY_IMAGES)))
        np.testing.assert_array_equal(found[0].kernel, found[1].kernel)
        np.testing.assert_array_equal(found[0].bias, found[1].bias)

    @BOTH_SHAPES
    @pytest.mark.parametrize("rows", [1, 7, 239])
    def test_shares_of_the_images_change_nothing_but_rounding(self, exact, monkeypatch, shape, rows):
        features, labels = make_problem(shape)
        penalties = np.linspace(0.5, 2, len(labels))
        whole = fit(exact, features, labels, penalties=penalties)
        monkeypatch.setattr(exact, "_ROWS", rows)
        shared = fit(exact, features, labels, penalties=penalties)
        np.testing.assert_allclose(shared.kernel, whole.kernel, atol=1e-3 * np.abs(whole.kernel).max())
        np.testing.assert_allclose(shared.bias, whole.bias, atol=1e-3 * np.abs(whole.bias).max())
