"""What the page says of presets that classify without training, by the names of classes."""

from collections.abc import Iterable
from typing import Any

from pipeline.evaluation.metric_types import Metrics


def describe_zero_shot(metrics: Iterable[Metrics]) -> list[dict[str, Any]]:
    """One dict per preset, the highest test accuracy first: preset, prompts, accuracy, low, high, val_accuracy. metrics: of
    families, of which several may stand on one preset."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for figures in metrics:
        if "zero_shot_test_accuracy" in figures:
            row = {
                "preset": figures["zero_shot_preset"],
                "prompts": figures["zero_shot_prompts"],
                "accuracy": figures["zero_shot_test_accuracy"],
                "low": figures["zero_shot_test_accuracy_low"],
                "high": figures["zero_shot_test_accuracy_high"],
                "val_accuracy": figures["zero_shot_val_accuracy"],
            }
            rows.setdefault((row["preset"], row["accuracy"], row["val_accuracy"]), row)
    return sorted(rows.values(), key=lambda row: (-row["accuracy"], row["preset"]))
