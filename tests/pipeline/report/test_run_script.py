import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.report.run_script import write_run
from tests.clone import commit, run
from tests.pipeline.report.timings import make_readings, make_summary_of

EVIL = "</script><script>alert(1)</script>"


def read(file: Path) -> dict:
    """What the page is given: the JSON between the parentheses, which is JavaScript too."""
    text = file.read_text(encoding="utf-8")
    assert text.startswith("showRun(")
    assert text.endswith(");\n")
    return json.loads(text.removeprefix("showRun(").removesuffix(");\n"))


@pytest.fixture(autouse=True)
def _folder(no_repository):
    """Each test's own, with a few parameters."""
    set_params({"train": {"epochs": 3, "augment": {"flip": "none"}}, "families": ["one"]})
    return no_repository


@pytest.fixture
def repository(tmp_path):
    run(["git", "init", "--quiet"], tmp_path)
    commit(tmp_path, "start")
    return tmp_path


def set_params(content: dict) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(content))


class TestFile:
    def write(self, timings: pd.DataFrame, summary: pd.DataFrame, weights: dict[str, float] | None = None) -> Path:
        write_run(
            Path("run.js"), "0123abcd", timings, summary, {"Families": ", ".join(summary["family"])}, [], weights or {}
        )
        return Path("run.js")

    def test_it_holds_what_the_page_shows(self, repository):
        set_params({"train": {"epochs": 5, "augment": {"flip": "none"}}, "families": ["one"]})
        said = read(self.write(make_readings(one=80.0, other=40.0), make_summary_of(one=0.75, other=0.5)))
        assert said["key"] == "0123abcd"
        assert [cost["milliseconds"] for cost in said["costs"]] == [12.5, 25]
        assert said["chart"].startswith("<svg")
        assert said["facts"]["Commit"] == run(["git", "rev-parse", "HEAD"], repository).strip()
        assert said["facts"]["Families"] == "one, other"
        assert said["changes"] == {"train.epochs": "3 → 5"}

    def test_what_was_not_timed_is_null(self):
        said = read(self.write(make_readings(one=80.0, other=None), make_summary_of(one=0.75, other=0.5)))
        costs = {cost["family"]: cost for cost in said["costs"]}
        assert costs["other"]["milliseconds"] is None
        assert ">one<" in said["chart"]
        assert ">other<" not in said["chart"]

    def test_the_ensemble_comes_last_and_is_not_in_the_chart(self):
        summary = make_summary_of(one=0.75, other=0.5, ensemble=0.9)
        said = read(self.write(make_readings(one=80.0, other=40.0), summary, {"one": 0.5, "other": 0.5}))
        assert [cost["family"] for cost in said["costs"]] == ["one", "other", "ensemble"]
        assert said["costs"][-1]["milliseconds"] == 37.5
        assert said["costs"][-1]["evaluate_peak_mb"] is None
        assert ">ensemble<" not in said["chart"]

    def test_where_nothing_was_timed_there_is_no_chart(self):
        said = read(self.write(make_readings(one=None), make_summary_of(one=0.75)))
        assert said["chart"] is None
        assert said["costs"][0]["milliseconds"] is None

    @pytest.mark.usefixtures("repository")
    def test_no_value_can_end_the_script(self):
        set_params({"train": {"epochs": EVIL, "augment": {"flip": "none"}}, "families": ["one"]})
        file = self.write(make_readings(**{EVIL: 80.0}), make_summary_of(**{EVIL: 0.75}))
        assert "</" not in file.read_text()
        said = read(file)
        assert said["costs"][0]["family"] == EVIL
        assert said["changes"] == {"train.epochs": f'3 → "{EVIL}"'}

    @pytest.mark.usefixtures("repository")
    def test_it_is_plain_ascii(self):
        set_params({"train": {"epochs": "猫\N{LINE SEPARATOR}", "augment": {"flip": "none"}}, "families": ["one"]})
        file = self.write(make_readings(one=80.0), make_summary_of(one=0.75))
        assert file.read_bytes().isascii()
        assert "猫" in read(file)["changes"]["train.epochs"]

    @pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
    @pytest.mark.usefixtures("repository")
    def test_javascript_reads_what_was_written(self):
        set_params({"train": {"epochs": EVIL + "\\\"'`${1}\N{LINE SEPARATOR}猫", "augment": {}}})
        file = self.write(make_readings(**{EVIL: 80.0, "other": None}), make_summary_of(**{EVIL: 0.75, "other": 0.5}))
        subprocess.run(["node", "--check", file], check=True)
        script = "function showRun(run) { process.stdout.write(JSON.stringify(run)); }\n" + file.read_text()
        seen = subprocess.run(["node", "-e", script], check=True, capture_output=True, text=True, encoding="utf-8")
        assert json.loads(seen.stdout) == read(file)
