from pipeline.report.sections.zero_shot import describe_zero_shot


def make_metrics(preset: str, accuracy: float) -> dict:
    ends = {"zero_shot_test_accuracy_low": accuracy - 0.1, "zero_shot_test_accuracy_high": accuracy + 0.1}
    prompts = {"zero_shot_preset": preset, "zero_shot_prompts": ["a CLASS"]}
    return {"test_accuracy": 0.9, **prompts, **ends, "zero_shot_test_accuracy": accuracy, "zero_shot_val_accuracy": 0.5}


def test_families_on_one_preset_have_one_row_and_the_best_preset_comes_first():
    given = [
        {"test_accuracy": 0.9},
        make_metrics("clip", 0.25),
        make_metrics("siglip", 0.75),
        make_metrics("clip", 0.25),
    ]
    rows = describe_zero_shot(given)
    assert [(row["preset"], row["accuracy"]) for row in rows] == [("siglip", 0.75), ("clip", 0.25)]
    assert rows[0] == {
        "preset": "siglip", "prompts": ["a CLASS"], "accuracy": 0.75, "low": 0.65, "high": 0.85, "val_accuracy": 0.5,
    }  # fmt: skip


def test_without_such_a_preset_there_is_none():
    assert describe_zero_shot([{"test_accuracy": 0.9}]) == []
