import contextlib
import errno
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.compare import OUT, main
from tests.clone import commit
from tests.conftest import ROOT
from tests.experiments import add_experiment, make_folds, make_params, make_repository, make_summary, write_results

EVIL = "<script>alert('pwned')</script>"


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory) -> Iterator[None]:
    """No repository but those of the tests, whatever is above them and whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
            patch.delenv(name, raising=False)
        patch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with parameters and no results."""
    monkeypatch.chdir(tmp_path)
    return make_repository(tmp_path)


def make_sweep(folder: Path) -> Path:
    """Two settings, one of them with two seeds, cross-validated."""
    make_repository(folder)
    for name, seed, dropout, accuracy in (("a1", 1, 0.1, 0.7), ("a2", 2, 0.1, 0.8), ("b1", 1, 0.2, 0.5)):
        params = make_params(train__seed=seed, train__dropout=dropout, crossval__families=["optimized"])
        folds = {"optimized": make_folds(accuracy, accuracy - 0.25, accuracy - 0.125 * seed)}
        add_experiment(folder, name, params, make_summary(optimized=accuracy, ensemble=0.99), folds)
    return folder


@pytest.fixture
def sweep(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_sweep(tmp_path)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str
    page: str


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Outcome:
    """All of the sweep."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(make_sweep(tmp_path_factory.mktemp("sweep"))):
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([])
        return Outcome(status, out.getvalue(), err.getvalue(), read_page())


def read_page(file: Path = OUT) -> str:
    return file.read_text(encoding="utf-8")


def read_rows(output: str) -> list[list[str]]:
    """The lines of the printed table, without its head."""
    return [line.split() for line in output.splitlines()[1:-1]]


class TestWhole:
    def test_a_table_is_printed_in_which_seeds_are_folded(self, compared):
        assert compared.status == 0
        assert [row[:5] for row in read_rows(compared.out)] == [
            ["optimized", "0.1", "2", "0.75", "0.07071"],
            ["optimized", "0.2", "1", "0.50", "NaN"],
        ]
        assert compared.out.splitlines()[0].split()[:4] == ["family", "train.dropout", "n", "val_accuracy"]
        assert compared.out.splitlines()[-1] == f"page: {OUT}"

    def test_a_workspace_without_results_is_left_out_with_a_warning(self, compared):
        assert compared.err == "warning: workspace: left out, it has no metrics/summary.csv\n"
        assert "3 experiments, 3 trained models" in compared.page

    def test_the_ensemble_is_left_out(self, compared):
        assert "ensemble" not in compared.out + compared.page

    def test_the_page_needs_no_other_file(self, compared):
        assert compared.page.startswith("<!doctype html>")
        assert compared.page.rstrip().endswith("</html>")
        assert compared.page.count("<svg") == 4  # effects, parallel, accuracy and loss of folds
        loaded = r'(?:src|href)="(?!data:|#)[^"]*"|url\((?!#)[^)]*\)|@import|<script'
        assert re.findall(loaded, compared.page) == []


@pytest.mark.usefixtures("sweep")
class TestSweep:
    def test_an_experiment_without_results_is_left_out_too(self, sweep, capsys):
        add_experiment(sweep, "failed", make_params(train__dropout=0.9), None)
        assert main(["failed", "b1"]) == 0
        captured = capsys.readouterr()
        assert captured.err == "warning: failed: left out, it has no metrics/summary.csv\n"
        assert "failed" not in read_page()

    def test_a_workspace_that_is_an_applied_experiment_counts_once(self, sweep, capsys):
        params = make_params(train__seed=1, train__dropout=0.2)
        write_results(sweep, params, make_summary(optimized=0.5))
        assert main([]) == 0
        captured = capsys.readouterr()
        assert [row[2] for row in read_rows(captured.out)] == ["2", "1"]
        assert "<td>workspace</td>" not in read_page()
        assert "left out" not in captured.err

    def test_a_workspace_that_differs_is_another_run(self, sweep, capsys):
        write_results(sweep, make_params(train__dropout=0.3), make_summary(optimized=0.9))
        assert main([]) == 0
        assert [row[1] for row in read_rows(capsys.readouterr().out)] == ["0.3", "0.1", "0.2"]
        assert "<td>workspace</td>" in read_page()

    def test_only_named_experiments_are_compared(self, capsys):
        assert main(["b1", "a2"]) == 0
        captured = capsys.readouterr()
        assert [row[1] for row in read_rows(captured.out)] == ["0.1", "0.2"]
        assert "left out" not in captured.err
        assert "<td>a1</td>" not in read_page()

    def test_an_unknown_name_ends_in_one_line_and_leaves_no_page(self, capsys):
        assert main(["a1", "c1"]) == 1
        captured = capsys.readouterr()
        assert captured.err == "error: there is no experiment or commit 'c1': expected one of a1, a2, b1\n"
        assert captured.out == ""
        assert not OUT.exists()

    def test_the_page_may_be_elsewhere(self, tmp_path, capsys):
        file = tmp_path / "new" / "page.html"
        assert main(["--out", str(file), "a1"]) == 0
        assert "optimized is best by validation" in read_page(file)
        assert not OUT.exists()
        assert capsys.readouterr().out.endswith(f"page: {file}\n")

    def test_the_old_page_stays_until_the_new_one_is_complete(self, monkeypatch, capsys):
        main(["a1"])
        before = read_page()

        def write_half(file: Path, text: str, encoding: str) -> None:
            with file.open("w", encoding=encoding) as partial:
                partial.write(text[:100])
            raise OSError(errno.ENOSPC, "No space left on device", str(file))

        monkeypatch.setattr(Path, "write_text", write_half)
        assert main([]) == 1
        assert "the disk is full" in capsys.readouterr().err
        assert read_page() == before
        assert [file.name for file in OUT.parent.iterdir()] == [OUT.name]

    def test_git_and_the_workspace_stay_as_they_are(self, sweep):
        def describe() -> list[str]:
            commands = (["for-each-ref"], ["status", "--porcelain"], ["stash", "list"])
            return [subprocess.run(["git", *c], capture_output=True, text=True, check=True).stdout for c in commands]

        before = describe()
        main(["--out", str(sweep / ".git" / "page.html")])
        assert describe() == before


class TestNothing:
    @pytest.mark.usefixtures("repository")
    def test_without_any_result_the_error_is_one_line(self, capsys):
        assert main([]) == 1
        said = capsys.readouterr().err.splitlines()
        assert said[0] == "warning: workspace: left out, it has no metrics/summary.csv"
        assert said[-1].startswith("error: there is nothing to compare: expected experiments with metrics/summary.csv")
        assert not OUT.exists()

    def test_outside_a_repository_the_error_is_one_line(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert main([]) == 1
        said = capsys.readouterr().err
        assert "not a git repository" in said
        assert said.count("\n") == 1


def test_no_value_can_be_markup(repository):
    for name, path in (("one", EVIL), ("other", "pictures & more")):
        add_experiment(repository, name, make_params(data__path=path), make_summary(optimized=0.5))
    assert main(["one", "other"]) == 0
    page = read_page()
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;pwned&#39;)&lt;/script&gt;" in page
    assert "pictures &amp; more" in page


@pytest.mark.ci
def test_the_module_is_a_command(repository):
    write_results(repository, make_params(), make_summary(optimized=0.5))
    command = [sys.executable, "-m", "stages.compare", "workspace"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith(f"page: {OUT}\n")
    assert "1 experiment, 1 trained" in read_page()


class TestMany:
    def test_experiments_on_other_commits_are_compared_if_asked_for(self, sweep, capsys):
        commit(sweep, "next")
        add_experiment(sweep, "a1", make_params(train__dropout=0.7), make_summary(optimized=0.9))
        assert main(["--all-commits"]) == 0
        assert [row[1] for row in read_rows(capsys.readouterr().out)] == ["0.7", "0.1", "0.2"]
        assert read_page().count("<td>a1 on ") == 2

    def test_runs_on_other_images_are_not_compared_in_silence(self, repository, capsys):
        lock = (
            "schema: '2.0'\nstages:\n  split:\n    outs:\n    - path: data/splits.csv\n      hash: md5\n      md5: {}\n"
        )
        for name, digest, accuracy in (("old", "a1", 0.9), ("new", "b2", 0.8)):
            files = {"dvc.lock": lock.format(digest)}
            add_experiment(repository, name, make_params(), make_summary(optimized=accuracy), files=files)
        assert main([]) == 0
        output = capsys.readouterr()
        assert re.search(r"optimized\s+set [12].*\n.*optimized\s+set [12]", output.out)
        assert "2 different sets of images" in output.err
        assert "set 2 has another data/splits.csv (not in DVC's cache) than set 1" in output.err
        assert "2 different sets of images" in OUT.read_text()
        OUT.unlink()
        assert main(["old", "new"]) == 1
        assert capsys.readouterr().err.startswith(
            "error: old and new don't compare: new was tested on another data/splits.csv"
        )
        assert not OUT.exists()

    def test_after_a_commit_it_is_said_where_they_are(self, sweep, capsys):
        commit(sweep, "next")
        assert main([]) == 1
        assert (
            capsys.readouterr().err.splitlines()[-1].endswith("; 3 are on other commits: --all-commits compares them")
        )

    def test_parameters_of_another_name_are_a_dash_where_they_are_missing(self, sweep, capsys):
        params = make_params(train__seed=1)
        params["train"]["drop"] = params["train"].pop("dropout")
        add_experiment(sweep, "renamed", params, make_summary(optimized=0.4, underfit=0.3))
        assert main(["b1", "renamed"]) == 0
        rows = read_rows(capsys.readouterr().out)
        assert [row[:2] for row in rows] == [["optimized", "0.2"], ["optimized", "–"], ["underfit", "–"]]

    def test_of_very_many_parameters_some_share_a_column_and_none_is_lost(self, sweep, capsys):
        for number in range(3):
            params = make_params()
            params["old"] = {f"p{key:02}": key + number for key in range(30)}
            add_experiment(sweep, f"old{number}", params, make_summary(optimized=0.5))
        assert main(["b1", "old0", "old1", "old2"]) == 0
        captured = capsys.readouterr()
        assert len(captured.out.splitlines()) == 6  # a head, four settings, the page
        assert len(captured.out.splitlines()[0].split()) < 25
        assert "old.p29" in read_page()

    def test_of_very_many_rows_the_best_are_printed_and_the_page_has_all(self, sweep, capsys):
        families = {f"family{number}": 0.5 for number in range(60)}
        add_experiment(sweep, "many", make_params(), make_summary(**families))
        assert main(["many"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2] == "and 10 more rows, in the page"
        assert "family59" in read_page()

    @pytest.mark.parametrize(
        ("file", "text", "reason"),
        [
            ("metrics/summary.csv", "", "its metrics/summary.csv is no table"),
            ("metrics/summary.csv", "family,accuracy\na,1\n", "lacks val_accuracy, test_accuracy, test_macro_f1"),
            ("params.yaml", "a: [", "its params.yaml is not valid YAML"),
            ("params.yaml", "words", "its params.yaml has no sections"),
        ],
    )
    def test_what_can_not_be_read_is_left_out_with_the_reason(self, sweep, capsys, file, text, reason):
        add_experiment(sweep, "bad", make_params(), make_summary(optimized=0.5), files={file: text})
        assert main(["bad", "b1"]) == 0
        captured = capsys.readouterr()
        assert captured.err.startswith("warning: bad: left out, ")
        assert captured.err.rstrip().endswith(reason)

    def test_many_without_results_are_one_line(self, sweep, capsys):
        for number in range(5):
            add_experiment(sweep, f"failed{number}", make_params(train__seed=number), None)
        assert main([]) == 0
        said = "it has no metrics/summary.csv (failed0, failed1, failed2 and 3 more)"
        assert capsys.readouterr().err == f"warning: 6 experiments are left out, of each: {said}\n"

    def test_a_value_controls_no_terminal(self, sweep, capsys):
        add_experiment(sweep, "evil", make_params(data__path="\x1b[31mred"), make_summary(optimized=0.5))
        assert main(["evil", "b1"]) == 0
        captured = capsys.readouterr()
        assert "\x1b" not in captured.out + captured.err + read_page()
