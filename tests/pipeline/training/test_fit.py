import logging
import re

import numpy as np
import pytest

from pipeline.training.scores import compute_accuracy_and_loss

pytestmark = pytest.mark.usefixtures("tensorflow")


class TestClassWeight:
    def compute(self, counts: dict[str, int], how: str = "balanced") -> dict[int, float] | None:
        from pipeline.training.fit import compute_class_weight

        return compute_class_weight(counts, how)

    def test_without_weights_all_images_count_alike(self):
        assert self.compute({"cat": 10, "dog": 30}, "none") is None

    @pytest.mark.parametrize(
        ("counts", "weights"),
        [
            ({"cat": 10, "dog": 30}, [2.0, 2 / 3]),
            ({"cat": 5, "dog": 5}, [1.0, 1.0]),
            ({"ant": 1, "bee": 2, "cat": 3}, [2.0, 1.0, 2 / 3]),
        ],
    )
    def test_balanced_gives_all_classes_the_same_total_weight(self, counts, weights):
        found = self.compute(counts)
        assert found == dict(enumerate(weights))
        assert {type(value) for value in found.values()} == {float}
        assert len({round(found[i] * count, 9) for i, count in enumerate(counts.values())}) == 1


class TestEpochLog:
    @pytest.fixture
    def log(self, caplog, monkeypatch):
        """Runs a callback for two epochs of 1.5 s with these metrics; returns the messages."""
        from pipeline.training.fit import EpochLog

        caplog.set_level(logging.INFO)
        now = [0.0]
        monkeypatch.setattr("pipeline.training.fit.time.perf_counter", lambda: now[0])

        def run(metrics: dict[str, float], *, epochs_before: int = 0, epochs: int = 2) -> list[str]:
            callback = EpochLog("underfit", epochs_before=epochs_before, epochs=epochs)
            for epoch in range(2):
                callback.on_epoch_begin(epoch)
                now[0] += 1.5
                callback.on_epoch_end(epoch, metrics)
            return caplog.messages

        return run

    METRICS = {"accuracy": 0.5, "loss": 1.23456, "val_accuracy": 0.25, "val_loss": 2.0}  # noqa: RUF012

    def test_each_epoch_has_one_line_with_its_metrics_and_seconds(self, log):
        line = "accuracy 0.5000, loss 1.2346, val_accuracy 0.2500, val_loss 2.0000, 1.5 s"
        assert log(self.METRICS) == [f"underfit: epoch 1/2: {line}", f"underfit: epoch 2/2: {line}"]

    def test_other_values_are_left_out(self, log):
        assert "learning_rate" not in log(self.METRICS | {"learning_rate": 0.1})[0]

    def test_epochs_are_counted_on_from_an_earlier_phase(self, log):
        messages = log(self.METRICS, epochs_before=3, epochs=5)
        assert [re.findall(r"epoch (\S+):", message) for message in messages] == [["4/5"], ["5/5"]]


def test_accuracy_and_loss_have_six_digits():

    scores = compute_accuracy_and_loss(np.array([0, 1, 1]), np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]))
    # ln 2, ln 4/3, and the loss of a probability of 0, which is limited to that of 1e-7
    assert scores == {"accuracy": 0.666667, "loss": round((0.693147180 + 0.287682072 + 16.11809565) / 3, 6)}
