import pytest
import yaml

from pipeline.report.stale_results import find_staleness

PARAMS = {"train.seed": 42, "train.learning_rate": 1e-05, "evaluate.costs": {}, "search.trials": 20}
SEEN = {"train": {"seed": 42, "learning_rate": "1e-05", "gone": 1}, "evaluate": {"costs": {}}}


def entry(path: str, digest: str) -> dict[str, str]:
    return {"path": path, "hash": "md5", "md5": digest * 32}


def make_lock(
    *, seen: dict | None = None, split: str = "a", report: str = "a", trained: str = "b", evaluated: str = "b"
) -> str:
    """As DVC writes it. The other arguments: digests of what stages have written and read."""
    stages = {
        "split": {"cmd": "x", "outs": [entry("data/splits.csv", split)]},
        "train@net": {"cmd": "x", "outs": [entry("models/net.keras", trained)]},
        "evaluate@net": {
            "cmd": "x",
            "deps": [entry("models/net.keras", evaluated)],
            "outs": [entry("data/evaluations/net", "c")],
        },
        "report": {
            "cmd": "x",
            "deps": [entry("data/splits.csv", report)],
            "params": {"params.yaml": SEEN if seen is None else seen},
            "outs": [entry("metrics/summary.csv", "d")],
        },
        "choose": {"cmd": "x", "deps": [entry("data/splits.csv", "e")]},
    }
    return yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False)


def find(lock: str, **params: object) -> str | None:
    return find_staleness(lock, PARAMS | {name.replace("__", "."): value for name, value in params.items()}, ["net"])


def test_nothing_is_said_of_a_whole_run():
    assert find(make_lock()) is None


def test_parameters_that_the_report_has_not_seen_are_named():
    assert find(make_lock(), train__seed=43).startswith(
        "its metrics are of a run with another train.seed: it ended before"
    )


@pytest.mark.parametrize("changes", [{"search__trials": 3}, {"train__new": 5}, {"train__learning_rate": 0.00001}])
def test_those_that_it_does_not_read_or_that_are_the_same_number_count_for_nothing(changes):
    assert find(make_lock(), **changes) is None


def test_splits_that_the_report_has_not_seen():
    assert find(make_lock(split="f")).startswith("its metrics are of a run with other splits")


def test_a_model_that_nobody_has_evaluated():
    assert find(make_lock(trained="f")).startswith("its metrics are of another model net: it ended before `evaluate`")


@pytest.mark.parametrize("lock", ["", "schema: '2.0'\n", "stages:\n  report:\n    cmd: x\n", "  report:\n    : [\n"])
def test_a_lock_that_says_nothing_is_no_reason(lock):
    assert find(lock) is None
