import json
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.report.run_facts import describe_commit, describe_machine, find_changes, find_front, make_costs, write_run
from pipeline.report.tables import make_timings
from tests.clone import commit, run

MISSING = float("nan")
EVIL = "</script><script>alert(1)</script>"


def read(file: Path) -> dict:
    """What the page is given: the JSON between the brackets, which is JavaScript too."""
    text = file.read_text(encoding="utf-8")
    assert text.startswith("showRun(")
    assert text.endswith(");\n")
    return json.loads(text.removeprefix("showRun(").removesuffix(");\n"))


def make_table(**accuracy: float) -> pd.DataFrame:
    """A summary."""
    rows = [(family, value, 1000, 2_500_000) for family, value in accuracy.items()]
    return pd.DataFrame(rows, columns=["family", "test_accuracy", "parameters", "model_bytes"])


def make_readings(**rates: float | None) -> pd.DataFrame:
    """Timings of families by images a second, one at a time."""
    others = {"images_per_second_32": 800.0, "train_seconds": 4.5, "train_peak_mb": 900.0, "evaluate_peak_mb": 700.0}
    return make_timings(
        {family: {} if rate is None else others | {"images_per_second_1": rate} for family, rate in rates.items()}
    )


@pytest.fixture(autouse=True)
def _folder(no_repository):
    """Each test's own, with a few parameters."""
    set_params({"train": {"epochs": 3, "augment": {"flip": "none"}}, "families": ["one"]})
    return no_repository


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/train.py").write_text("1\n")
    run(["git", "init", "--quiet"], tmp_path)
    commit(tmp_path, "start")
    return tmp_path


def set_params(content: dict) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(content))


class TestCosts:
    def test_speed_and_size_in_the_units_of_the_page(self):
        [row] = make_costs(make_readings(one=80.0), make_table(one=0.75)).to_dict("records")
        assert row == {
            "family": "one",
            "accuracy": 0.75,
            "milliseconds": 12.5,
            "images_per_second": 800,
            "train_seconds": 4.5,
            "train_peak_mb": 900,
            "evaluate_peak_mb": 700,
            "model_mb": 2.5,
            "parameters": 1000,
            "on_front": True,
        }

    def test_the_most_accurate_comes_first_and_equals_by_name(self):
        table = make_costs(make_readings(a=1.0, c=1.0, b=1.0), make_table(a=0.5, b=0.75, c=0.75))
        assert table["family"].tolist() == ["b", "c", "a"]

    def test_without_a_reading_a_family_is_there_but_not_on_the_front(self):
        table = make_costs(make_readings(timed=10.0, untimed=None), make_table(timed=0.5, untimed=0.9))
        untimed = table.set_index("family").loc["untimed"]
        assert untimed[["milliseconds", "train_seconds", "train_peak_mb"]].isna().all()
        assert (untimed["model_mb"], untimed["on_front"]) == (2.5, False)
        assert table.set_index("family").loc["timed", "on_front"]

    def test_without_any_reading_there_is_still_a_table(self):
        table = make_costs(make_readings(one=None, other=None), make_table(one=0.5, other=0.5))
        assert table["milliseconds"].isna().all()
        assert not table["on_front"].any()

    def test_an_ensemble_has_no_row_as_nobody_has_timed_it(self):
        assert make_costs(make_readings(one=10.0), make_table(one=0.5, ensemble=0.9))["family"].tolist() == ["one"]


class TestFront:
    def front(self, *points: tuple[float, float]) -> list[bool]:
        return find_front(pd.DataFrame(points, columns=["accuracy", "milliseconds"]))

    def test_what_none_beats_in_both_is_on_it(self):
        assert self.front((0.9, 50), (0.8, 10), (0.7, 20), (0.95, 60), (0.5, 1)) == [True, True, False, True, True]

    def test_as_accurate_but_slower_is_beaten(self):
        assert self.front((0.8, 10), (0.8, 11)) == [True, False]

    def test_as_fast_but_less_accurate_is_beaten(self):
        assert self.front((0.8, 10), (0.7, 10)) == [True, False]

    def test_equals_in_both_do_not_beat_each_other(self):
        assert self.front((0.8, 10), (0.8, 10), (0.7, 10)) == [True, True, False]

    def test_what_was_not_timed_neither_is_on_it_nor_beats_another(self):
        assert self.front((0.99, MISSING), (0.5, 10)) == [False, True]

    def test_one_alone_is_on_it(self):
        assert self.front((0.1, 1000)) == [True]

    def test_of_none_there_is_none(self):
        assert self.front() == []

    def test_it_never_rises_in_time_without_rising_in_accuracy(self):
        points = np.random.default_rng(0).integers(0, 10, (60, 2)).astype(float)
        on_front = points[self.front(*map(tuple, points))]
        ordered = on_front[np.lexsort((on_front[:, 0], on_front[:, 1]))]
        assert (np.diff(ordered[:, 0]) >= 0).all()
        assert len({tuple(point) for point in on_front}) == len(set(on_front[:, 1]))


class TestChanges:
    @pytest.mark.usefixtures("repository")
    def test_values_that_differ_from_the_commits_are_named(self):
        set_params({"train": {"epochs": 5, "augment": {"flip": "both"}}, "families": ["one"]})
        assert find_changes() == {"train.epochs": "3 → 5", "train.augment.flip": '"none" → "both"'}

    @pytest.mark.parametrize(
        ("families", "change"),
        [
            (["one", "two"], '["one"] → ["one", "two"]'),
            (None, '["one"] → null'),
            ([], '["one"] → []'),
            (["猫"], '["one"] → ["猫"]'),
        ],
    )
    @pytest.mark.usefixtures("repository")
    def test_values_of_any_kind_are_written_as_json(self, families, change):
        set_params({"train": {"epochs": 3, "augment": {"flip": "none"}}, "families": families})
        assert find_changes() == {"families": change}

    @pytest.mark.usefixtures("repository")
    def test_a_parameter_that_is_new_or_gone_is_null_on_the_other_side(self):
        set_params({"train": {"epochs": 3, "augment": {}, "seed": 1}, "families": ["one"]})
        assert find_changes() == {
            "train.augment": "null → {}",
            "train.augment.flip": '"none" → null',
            "train.seed": "null → 1",
        }

    @pytest.mark.usefixtures("repository")
    def test_comments_and_order_are_no_changes(self):
        content = yaml.safe_load(Path("params.yaml").read_text())
        Path("params.yaml").write_text("# why\n" + yaml.safe_dump(dict(reversed(content.items())), sort_keys=False))
        assert find_changes() == {}

    def test_a_project_may_lie_in_a_folder_of_a_repository(self, repository, monkeypatch):
        (repository / "inner").mkdir()
        shutil.copy("params.yaml", "inner")
        commit(repository, "inner")
        monkeypatch.chdir(repository / "inner")
        set_params({"train": {"epochs": 4, "augment": {"flip": "none"}}, "families": ["one"]})
        assert find_changes() == {"train.epochs": "3 → 4"}

    def test_outside_a_repository_there_is_nothing_to_differ_from(self):
        assert find_changes() == {}

    def test_nor_in_one_without_a_commit(self, tmp_path):
        run(["git", "init", "--quiet"], tmp_path)
        assert find_changes() == {}

    def test_nor_where_there_is_no_git(self, repository, monkeypatch):
        monkeypatch.setenv("PATH", str(repository))
        assert find_changes() == {}


class TestCommit:
    def test_it_is_named_whole(self, repository):
        head = run(["git", "rev-parse", "HEAD"], repository).strip()
        assert describe_commit() == {"Commit": head}

    def test_changed_code_is_told(self, repository):
        (repository / "stages/train.py").write_text("2\n")
        assert describe_commit()["Commit"].endswith(", with changed code")

    def test_changed_parameters_are_told_elsewhere(self, repository):
        set_params({"train": {"epochs": 9}})
        (repository / "notes.txt").write_text("not ours")
        assert "changed" not in describe_commit()["Commit"]

    def test_outside_a_repository_that_is_said(self):
        assert describe_commit() == {"Commit": "not in a git repository"}


def test_the_machine_is_described():
    facts = describe_machine()
    assert list(facts) == ["Processor", "Memory", "System"]
    assert all(facts.values())
    assert "cores" in facts["Processor"]
    assert platform.python_version() in facts["System"]


class TestFile:
    def write(self, timings: pd.DataFrame, summary: pd.DataFrame) -> Path:
        write_run(Path("run.js"), "0123abcd", timings, summary, summary["family"].tolist())
        return Path("run.js")

    def test_it_holds_what_the_page_shows(self, repository):
        set_params({"train": {"epochs": 5, "augment": {"flip": "none"}}, "families": ["one"]})
        said = read(self.write(make_readings(one=80.0, other=40.0), make_table(one=0.75, other=0.5)))
        assert said["key"] == "0123abcd"
        assert [cost["milliseconds"] for cost in said["costs"]] == [12.5, 25]
        assert said["chart"].startswith("<svg")
        assert said["facts"]["Commit"] == run(["git", "rev-parse", "HEAD"], repository).strip()
        assert said["facts"]["Families"] == "one, other"
        assert said["changes"] == {"train.epochs": "3 → 5"}

    def test_what_was_not_timed_is_null(self):
        said = read(self.write(make_readings(one=80.0, other=None), make_table(one=0.75, other=0.5)))
        costs = {cost["family"]: cost for cost in said["costs"]}
        assert costs["other"]["milliseconds"] is None
        assert ">one<" in said["chart"]
        assert ">other<" not in said["chart"]

    def test_where_nothing_was_timed_there_is_no_chart(self):
        said = read(self.write(make_readings(one=None), make_table(one=0.75)))
        assert said["chart"] is None
        assert said["costs"][0]["milliseconds"] is None

    @pytest.mark.usefixtures("repository")
    def test_no_value_can_end_the_script(self):
        set_params({"train": {"epochs": EVIL, "augment": {"flip": "none"}}, "families": ["one"]})
        file = self.write(make_readings(**{EVIL: 80.0}), make_table(**{EVIL: 0.75}))
        assert "</" not in file.read_text()
        said = read(file)
        assert said["costs"][0]["family"] == EVIL
        assert said["changes"] == {"train.epochs": f'3 → "{EVIL}"'}

    @pytest.mark.usefixtures("repository")
    def test_it_is_plain_ascii(self):
        set_params({"train": {"epochs": "猫\N{LINE SEPARATOR}", "augment": {"flip": "none"}}, "families": ["one"]})
        file = self.write(make_readings(one=80.0), make_table(one=0.75))
        assert file.read_bytes().isascii()
        assert "猫" in read(file)["changes"]["train.epochs"]

    @pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
    @pytest.mark.usefixtures("repository")
    def test_javascript_reads_what_was_written(self):
        set_params({"train": {"epochs": EVIL + "\\\"'`${1}\N{LINE SEPARATOR}猫", "augment": {}}})
        file = self.write(make_readings(**{EVIL: 80.0, "other": None}), make_table(**{EVIL: 0.75, "other": 0.5}))
        subprocess.run(["node", "--check", file], check=True)
        script = "function showRun(run) { process.stdout.write(JSON.stringify(run)); }\n" + file.read_text()
        seen = subprocess.run(["node", "-e", script], check=True, capture_output=True, text=True, encoding="utf-8")
        assert json.loads(seen.stdout) == read(file)
