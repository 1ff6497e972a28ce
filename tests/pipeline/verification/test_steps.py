import hashlib
from pathlib import Path

import pytest
import yaml

from pipeline.runtime.errors import PipelineError
from pipeline.verification.steps import Out, Step, choose_steps, load_steps
from tests.clone import run

DVC_YAML = {
    "stages": {
        "split": {
            "cmd": "true # split",
            "deps": ["source"],
            "params": ["seed"],
            "outs": [{"data/a": {"persist": True}}, {"b.csv": {"cache": False}}],
        },
        "train": {"matrix": {"family": ["x", "y"]}, "cmd": "echo", "outs": ["models/${item.family}"]},
    }
}
SOURCE = hashlib.md5(b"1", usedforsecurity=False).hexdigest()
LOCK = {
    "schema": "2.0",
    "stages": {
        "split": {
            "cmd": "true # split",
            "deps": [{"path": "source", "hash": "md5", "md5": SOURCE, "size": 1}],
            "params": {"params.yaml": {"seed": 1}},
            "outs": [
                {"path": "b.csv", "hash": "md5", "md5": "b" * 32, "size": 1},
                {"path": "data/a", "hash": "md5", "md5": "a" * 32 + ".dir", "size": 1, "nfiles": 1},
            ],
        }
    },
}


@pytest.fixture
def project(no_repository) -> Path:
    run(["git", "init", "--quiet"], no_repository)
    (no_repository / ".dvc").mkdir()
    (no_repository / ".dvc/config").touch()
    for name, content in (("dvc.yaml", DVC_YAML), ("dvc.lock", LOCK), ("params.yaml", {"seed": 1})):
        (no_repository / name).write_text(yaml.safe_dump(content))
    (no_repository / "source").write_text("1")
    return no_repository


def test_they_are_as_dvc_reads_them(project):
    split, *others = load_steps(project)
    assert (split.name, split.commands, split.deps, split.changed) == (
        "split",
        ("true # split",),
        {"source": SOURCE},
        (),
    )
    assert {out.path: out for out in split.outs} == {
        "b.csv": Out("b.csv", "b" * 32, is_kept=False, is_cached=False),
        "data/a": Out("data/a", "a" * 32 + ".dir", is_kept=True, is_cached=True),
    }
    assert [(step.name, step.outs[0].digest) for step in others] == [("train@x", None), ("train@y", None)]


def test_names_are_the_same_from_anywhere(project, monkeypatch):
    monkeypatch.chdir(project.parent)
    assert [step.name for step in load_steps(project)] == ["split", "train@x", "train@y"]


def test_a_parameter_and_a_command_that_have_changed_are_said(project):
    (project / "params.yaml").write_text("seed: 2\n")
    assert load_steps(project)[0].changed == ("params.yaml",)
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text().replace("# split", "# anew"))
    assert load_steps(project)[0].changed == ("its command", "params.yaml")


def test_a_file_that_dvc_can_not_read_is_one_line(project):
    (project / "dvc.yaml").write_text("stages: [")
    with pytest.raises(PipelineError, match=r"^DVC can't read dvc\.yaml"):
        load_steps(project)


class TestChoice:
    STEPS = tuple(Step(name, ("true",), {}, (), ()) for name in ("split", "train@overfit", "train@underfit", "report"))

    def choose(self, *names: str) -> list[str]:
        return [step.name for step in choose_steps(list(self.STEPS), names)]

    def test_without_names_all(self):
        assert self.choose() == ["split", "train@overfit", "train@underfit", "report"]

    def test_a_matrix_by_its_name_and_by_item(self):
        assert self.choose("report", "train") == ["train@overfit", "train@underfit", "report"]
        assert self.choose("train@overfit") == ["train@overfit"]

    @pytest.mark.parametrize(("name", "near"), [("splitt", "split"), ("train@overfitt", "train@overfit")])
    def test_what_is_no_stage_is_refused_with_the_nearest(self, name, near):
        with pytest.raises(PipelineError) as caught:
            self.choose("split", name)
        assert str(caught.value) == f"there is no stage {name!r} in dvc.yaml: did you mean {near}?"
