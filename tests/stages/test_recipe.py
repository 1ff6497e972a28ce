import subprocess
import sys

import pytest
import yaml

from pipeline.config.families import FAMILIES, find_origin
from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_family
from pipeline.runtime.errors import PipelineError
from stages.recipe import main, recipe
from tests.conftest import ROOT


@pytest.fixture
def show(project, capsys):
    """What the verb prints for these families."""

    def run(*families: str, **values) -> str:
        project.set(**values)
        recipe(list(families))
        return capsys.readouterr().out

    return run


def test_every_recipe_is_yaml_and_what_its_family_trains_with(show):
    printed = yaml.safe_load(show(*FAMILIES, train__dropout=0.25))
    params = load_params()
    assert list(printed) == list(FAMILIES)
    assert printed == {family: resolve_family(params, family).model_dump() for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_value_has_a_line_of_its_own_with_its_origin(show, family):
    known = {
        "study",
        "train",
        "train.max_epochs",
        f"default of {FAMILIES[family].kind}",
        f"from {find_origin(family)}",
    }
    first, *lines = show(family).splitlines()
    assert first == f"{family}:"
    for line in lines:
        value, _, origin = line.partition(" # ")
        assert value.endswith(":") if not origin else origin in known


def test_the_origins_are_study_default_another_family_and_train(show):
    lines = show("overfit", "mobilenet_svm", train__max_epochs=None, train__width=0.5).splitlines()
    assert "  epochs: 50                    # study" in lines
    assert "  dropout: 0.0                  # default of network" in lines
    assert "  width: 0.5                    # train" in lines
    assert "    weights: imagenet           # from mobilenet" in lines
    assert "  C: 0.001                      # default of linear" in lines


def test_no_family_is_all_in_families(show):
    assert list(yaml.safe_load(show(families=["underfit", "mobilenetv3"]))) == ["underfit", "mobilenetv3"]


def test_a_text_that_yaml_would_misread_is_quoted(show):
    file = "C: #1/weights, über 100 pixels: " + "x" * 200
    assert yaml.safe_load(show("vgg16", recipes__vgg16__backbone__weights=file))["vgg16"]["backbone"]["weights"] == file


def test_an_unknown_family_is_refused_before_anything_is_printed(show, capsys):
    with pytest.raises(PipelineError, match=r"^FAMILY: no family is called 'overfitt': did you mean overfit"):
        show("underfit", "overfitt")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("project")
def test_it_is_a_verb_with_answers_on_stdout_and_errors_on_stderr(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["recipe", "underfit"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("underfit:\n")
    monkeypatch.setattr("sys.argv", ["recipe", "undrfit"])
    assert main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: FAMILY: no family is called 'undrfit': did you mean underfit")
    assert err.count("\n") == 1


def test_it_runs_without_tensorflow(project):
    script = "import sys; from stages.recipe import recipe; recipe(['vgg16']); assert 'keras' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project.folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
