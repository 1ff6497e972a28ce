"""The loss between labels and a teacher's probabilities, and the accuracy beside it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from pipeline.data.batches import read_batches
from pipeline.training.distillation import DistillationLoss, LabelAccuracy, Lesson, make_lesson, soften
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

RNG = np.random.default_rng(0)
TEACHER, NETWORK = (softmax(RNG.normal(0, 3, (5, 4)), axis=1).astype(np.float32) for _ in range(2))
LABELS = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0]]
TEMPERATURE, WEIGHT = 3.0, 0.7


def measure(lesson: Lesson, labels: np.ndarray, network: np.ndarray = NETWORK) -> np.ndarray:
    return DistillationLoss(lesson).call(np.concatenate([labels, lesson.targets], axis=1), network).numpy()


class TestTargets:
    def test_at_temperature_1_they_are_the_teachers_probabilities(self):
        assert soften(TEACHER, 1.0) == pytest.approx(TEACHER, abs=1e-7)

    def test_at_another_its_logits_are_divided_by_it(self):
        logits = np.array([[4.0, 0.0, -2.0]])
        assert soften(softmax(logits, axis=1), 2.0) == pytest.approx(softmax(logits / 2.0, axis=1), abs=1e-7)

    def test_a_probability_of_0_is_no_trouble(self):
        soft = soften(np.array([[1.0, 0.0]], np.float32), 2.0)
        assert soft.dtype == np.float32
        assert soft == pytest.approx(np.array([[1.0, 0.0]]), abs=1e-7)


class TestLoss:
    def test_the_divergence_counts_by_its_weight_and_the_square_of_the_temperature(self):
        lesson = make_lesson(TEACHER, weight=WEIGHT, temperature=TEMPERATURE)
        own, other = soften(NETWORK, TEMPERATURE).astype(float), lesson.targets.astype(float)
        divergence = (other * np.log(other / own)).sum(axis=1)
        expected = WEIGHT * TEMPERATURE**2 * divergence - (1 - WEIGHT) * np.log(NETWORK[LABELS == 1])
        assert measure(lesson, LABELS) == pytest.approx(expected, abs=1e-5)

    def test_of_the_teacher_alone_it_is_0_where_both_agree(self):
        lesson = make_lesson(TEACHER, weight=1.0, temperature=TEMPERATURE)
        assert measure(lesson, LABELS, TEACHER) == pytest.approx(0.0, abs=1e-5)
        assert (measure(lesson, LABELS) > 0.01).all()

    def test_its_gradient_is_that_of_the_papers_cross_entropy(self):
        """Of logits: temperature × (network - teacher), both at the temperature, and network - label."""
        import tensorflow as tf

        lesson = make_lesson(TEACHER, weight=WEIGHT, temperature=TEMPERATURE)
        logits = tf.Variable(np.log(NETWORK))
        with tf.GradientTape() as tape:
            rows = tf.constant(np.concatenate([LABELS, lesson.targets], axis=1))
            loss = tf.reduce_sum(DistillationLoss(lesson).call(rows, tf.nn.softmax(logits)))
        expected = WEIGHT * TEMPERATURE * (soften(NETWORK, TEMPERATURE) - lesson.targets)
        expected += (1 - WEIGHT) * (NETWORK - LABELS)
        assert tape.gradient(loss, logits).numpy() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("compiled", [False, True])
    def test_a_network_that_is_certain_and_wrong_learns_too(self, compiled):
        """Its probability of what the teacher says rounds to 0."""
        import keras
        import tensorflow as tf

        lesson = make_lesson(np.array([[1.0, 0.0]], np.float32), weight=1.0, temperature=1.0)
        layer = keras.layers.Dense(2, use_bias=False, activation="softmax")
        layer.build((1, 1))
        layer.set_weights([np.array([[-90.0, 90.0]])])

        def compute_gradient() -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = DistillationLoss(lesson)(tf.constant([[1.0, 0.0, 1.0, 0.0]]), layer(tf.ones((1, 1))))
            return tape.gradient(loss, layer.kernel.value)

        gradient = (tf.function(compute_gradient) if compiled else compute_gradient)()
        assert gradient.numpy() == pytest.approx(np.array([[-1.0, 1.0]]), abs=1e-6)

    def test_without_a_teachers_rows_as_in_validation_it_is_the_cross_entropy_of_labels(self):
        lesson = make_lesson(TEACHER, weight=WEIGHT, temperature=TEMPERATURE)
        plain = DistillationLoss(lesson).call(LABELS, NETWORK).numpy()
        assert plain == pytest.approx(-np.log(NETWORK[LABELS == 1]), abs=1e-6)


def test_accuracy_is_that_against_the_labels():
    metric = LabelAccuracy()
    assert metric.name == "accuracy"
    wrong = np.roll(NETWORK, 1, axis=1)
    metric.update_state(np.concatenate([LABELS, wrong], axis=1), NETWORK)
    assert float(metric.result()) == pytest.approx((NETWORK.argmax(axis=1) == LABELS.argmax(axis=1)).mean())


class TestTraining:
    """A teacher that takes each class for the next one: who learns from it alone is never right."""

    @pytest.fixture(autouse=True)
    def _images(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        splits = {"train": make_coloured_split(48, 16), "val": make_coloured_split(12, 16, seed=1)}
        write_records(class_names=["red", "green", "blue"], **splits)

    @pytest.mark.parametrize(
        "changes",
        [
            {"class_weight": "balanced", "label_smoothing": 0.1},
            pytest.param({"cache_gb": 0.0, "oversample": "balanced"}, marks=pytest.mark.ci),
        ],
        ids=["in memory, weighted, smoothed", "from files, oversampled"],
    )
    def test_a_network_learns_what_its_teacher_says_of_each_image(self, changes):
        from pipeline.models.predictions import predict_split
        from tests.pipeline.training.test_network import curve, train

        labels = np.concatenate([numbers for _, numbers in read_batches("train", batch_size=48).as_numpy_iterator()])
        misled = np.eye(3, dtype=np.float32)[(labels + 1) % 3]
        lesson = make_lesson(misled, weight=1.0, temperature=1.0)
        model = train(Path(), lesson=lesson, epochs=5, **changes)
        numbers, probabilities = predict_split(model, "val")
        assert (probabilities.argmax(axis=1) == (numbers + 1) % 3).mean() > 0.8
        assert curve(Path(), "train/accuracy")[-1] < 0.2  # against labels, as of other networks
