"""A change re-runs what it changes: in a real repository, after a full run, by `dvc repro`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clone import list_stages_run, run

Edit = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def clone(finished_clone: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_clone(tmp_path_factory.mktemp("reruns") / "clone")


@pytest.fixture(autouse=True)
def edit(clone: Path) -> Iterator[Edit]:
    """Replaces a text in a file of the clone; afterwards everything is as it was committed."""

    def replace(file: str, old: str, new: str) -> None:
        content = (clone / file).read_text()
        assert content.count(old) == 1, f"{file} holds {old!r} once"
        (clone / file).write_text(content.replace(old, new))

    yield replace
    run(["git", "checkout", "--quiet", "."], clone)
    run(["git", "clean", "-fdq"], clone)
    run(["dvc", "checkout", "--quiet"], clone)


def set_params(clone: Path, changes: dict[str, Any]) -> None:
    """Writes params.yaml with other values. changes: nested like params.yaml, one section deep."""
    params = yaml.safe_load((clone / "params.yaml").read_text())
    for section, value in changes.items():
        params[section] = params[section] | value if isinstance(value, dict) else value
    (clone / "params.yaml").write_text(yaml.safe_dump(params))


def repro(clone: Path, *stages: str) -> list[str]:
    return list_stages_run(run(["dvc", "repro", *stages], clone))


FAMILIES = ("linear_svm", "underfit", "efficientnet_lite0")


@pytest.mark.ci
def test_comments_layout_and_sources_that_are_not_in_use_rerun_the_code_stage_and_nothing_else(
    clone: Path, edit: Edit
) -> None:
    edit("pipeline/config/reader.py", '"""The only reader', '# A comment.\n"""The one and only reader')
    edit("pipeline/training/schedules.py", "\n\n\ndef make_optimizer", "\n\n\n\n\ndef make_optimizer")
    edit("stages/split.py", "logger = ", "logger = \\\n    ")
    # Nor does a change in a source, where another is in use.
    edit("pipeline/sources/member.py", "_SMALL_BYTES = 100 << 20", "_SMALL_BYTES = 200 << 20")
    assert repro(clone) == ["code"]


@pytest.mark.ci
def test_a_new_family_in_a_file_of_its_own_reruns_that_family_and_the_report(clone: Path, edit: Edit) -> None:
    (clone / "pipeline/models/studies/mine.py").write_text(
        '"""A family of the user\'s own."""\n\nimport keras\nfrom pipeline.models.layers import make_input, softmax_head\n\n\n'
        "def build_tiny(*, image_size, num_classes, dropout, l2, width, head_units):\n"
        '    """One pool."""\n'
        "    inputs = make_input(image_size)\n"
        "    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(inputs))\n"
        '    return keras.Model(inputs, softmax_head(x, num_classes), name="tiny")\n'
    )
    edit(
        "pipeline/config/families.py",
        '    "underfit": ',
        '    "tiny": Family("pipeline.models.studies.mine:build_tiny"),\n    "underfit": ',
    )
    set_params(clone, {"families": [*FAMILIES, "tiny"], "recipes": {"tiny": {}}})
    own = {f"{verb}@tiny" for verb in ("embed", "train", "evaluate", "export")}
    assert set(repro(clone)) == {"code", "check", "choose", "report", *own}


@pytest.mark.ci
def test_a_change_in_the_optimizers_reruns_training_and_what_follows(clone: Path, edit: Edit) -> None:
    edit(
        "pipeline/training/schedules.py",
        '"adam": (keras.optimizers.Adam, {})',
        '"adam": (keras.optimizers.Adam, {"epsilon": 1e-3})',
    )
    # Another family may be the recommended one now, and then exports are decided anew.
    ran = {name for name in repro(clone) if not name.startswith("export@")}
    assert {f"train@{family}" for family in FAMILIES} <= ran
    # The linear machine knows no optimizer: it comes out as before, and nothing follows.
    assert ran - {f"train@{family}" for family in FAMILIES} == {
        "code", "choose", "report", "evaluate@underfit", "evaluate@efficientnet_lite0",
    }  # fmt: skip


@pytest.mark.ci
def test_a_change_in_a_chart_reruns_the_report_only(clone: Path, edit: Edit) -> None:
    edit("pipeline/report/charts/theme.py", 'INK = "#', 'INK = "#0')
    assert repro(clone) == ["code", "report"]


@pytest.mark.ci
def test_a_change_in_a_template_reruns_the_report_only(clone: Path, edit: Edit) -> None:
    edit("pipeline/report/templates/report.html", '<div id="costs">', '<p>ours</p><div id="costs">')
    assert repro(clone) == ["code", "report"]


@pytest.mark.ci
def test_a_parameter_reruns_the_families_whose_settings_it_changes(clone: Path) -> None:
    set_params(clone, {"train": {"dropout": 0.2}})
    assert repro(clone, "check") == ["check"]
    changed = set(json.loads(run(["dvc", "status", "--json"], clone)))
    families = ("underfit", "efficientnet_lite0")
    assert changed == {*(f"{verb}@{name}" for verb in ("train", "evaluate", "export") for name in families), "report"}


@pytest.mark.ci
def test_then_they_are_trained_and_all_that_follows(clone: Path) -> None:
    set_params(clone, {"train": {"dropout": 0.2}})
    ran = set(repro(clone))
    assert "train@linear_svm" not in ran
    assert {"train@underfit", "train@efficientnet_lite0", "report"} <= ran
    assert not {name for name in ran if name.startswith(("embed", "preprocess", "download"))}
