"""The `dvc` of the environment, on a clone whose check is the real one."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.dvc_command import (
    expand_sweeps,
    find_project,
    main,
    prepare,
    read_command,
    write_variant,
)
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.overrides import explain_grammar
from tests.clone import PROJECT, make_clone, run


@pytest.mark.parametrize(
    ("line", "command", "overrides", "folder"),
    [
        ("repro", ("repro",), [], "."),
        ("repro -f train@underfit", ("repro",), [], "."),
        ("--cd other repro", ("repro",), [], "other"),
        ("exp run -S a=1 --set-param b=2 -Sc=3", ("exp", "run"), ["a=1", "b=2", "c=3"], "."),
        ("exp run -S a=1,2 --queue", ("exp", "run"), ["a=1,2"], "."),
        ("exp run -S", ("exp", "run"), [], "."),  # DVC says that a value is missing
        ("-q plots show", ("plots", "show"), [], "."),
        ("--version", (), [], "."),
    ],
)
def test_the_command_line_is_read_as_dvc_reads_it(line, command, overrides, folder):
    assert read_command(line.split()) == (command, overrides, Path(folder))


def test_a_project_is_found_from_its_subfolders_and_no_other_is_taken_for_one(tmp_path):
    project = tmp_path / "Bücher und Bilder"
    (project / "stages").mkdir(parents=True)
    (project / "dvc.yaml").touch()
    assert find_project(project) is None  # of DVC's, but another
    (project / "stages" / "check.py").touch()
    assert find_project(project / "stages") == project


def refusal(function, *arguments) -> str:
    with pytest.raises(PipelineError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sweep_is_one_change_for_each_point():
    overrides = ["train.dropout=0.1,0.2", "train.seed=1", "other.yaml:x=1"]
    expected = [["train.dropout=0.1", "train.seed=1"], ["train.dropout=0.2", "train.seed=1"]]
    assert expand_sweeps("params.yaml", overrides) == expected
    assert expand_sweeps("params.yaml", []) == []


@pytest.mark.parametrize("value", ["~/pictures", "/home/me/Bücher (1)", "a=b", "x#y", "it's"])
def test_a_value_that_is_not_in_hydras_grammar_is_said_with_its_quoting_which_works(value):
    line = refusal(expand_sweeps, "params.yaml", ["train.seed=1", f"data.path={value}"])
    assert line.startswith(f"-S data.path={value}: DVC can't read the value")
    assert line == explain_grammar([f"data.path={value}"])
    if "'" not in value:
        assert line.endswith(f"""-S 'data.path="{value}"'""")
        assert expand_sweeps("params.yaml", [f'data.path="{value}"']) == [[f'data.path="{value}"']]


def test_a_key_that_is_not_listed_takes_a_plus(tmp_path):
    copy = tmp_path / "copy.yaml"
    fault = write_variant(PROJECT / "params.yaml", ["recipes.overfit.dropout=0.1"], copy).fault
    assert fault is not None
    assert fault.startswith("-S recipes.overfit.dropout=0.1: Could not override 'recipes.overfit.dropout'")
    assert fault.endswith("-S +KEY=VALUE")
    assert write_variant(PROJECT / "params.yaml", ["+recipes.overfit.dropout=0.1"], copy).fault is None
    assert "dropout: 0.1" in copy.read_text()


def test_a_value_that_dvc_would_write_as_a_broken_file_is_refused(tmp_path):
    (tmp_path / "before.yaml").write_text("families: [a, b] # names\n\n# more\nembed:\n  views: 1\n")
    first = write_variant(tmp_path / "before.yaml", ["families=[linear_svm]"], tmp_path / "params.yaml")
    assert first.fault is None
    fault = write_variant(first.file, ["families=[]"], tmp_path / "copy.yaml").fault
    assert fault == (
        "-S families=[]: DVC would leave params.yaml unreadable, with a comment in the wrong place: edit params.yaml instead"
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("dvc") / "mit Umlauten äöü")


WRONG = [
    ("families=underfit", "families: expected a list in brackets, such as [underfit]"),
    ("families=[resnet50]", "families: no family is called 'resnet50': did you mean resnet50v2"),
    ("crossval.folds=5", "crossval.folds: expected a list in brackets, such as [5]"),
    ("crossval.folds=['0; touch X;',1]", "crossval.folds.0: expected a valid integer"),
    ("families=[]", "families: expected at least 1 item"),
    ("search.families=[optimised]", "search.families: no family is called 'optimised': did you mean optimized?"),
    ("train.dropout=0.1,1.5", "train.dropout: expected less than or equal to 0.9, received 1.5"),
    ("train.dropuot=0.1", "train.dropuot is unknown: did you mean dropout?"),
]


@pytest.mark.parametrize(("override", "expected"), WRONG)
def test_a_wrong_value_is_refused_before_dvc_begins_in_the_words_of_the_check(clone, override, expected):
    before = (clone / "params.yaml").read_bytes()
    assert refusal(prepare, clone, ("exp", "run"), [override]).startswith(expected)
    assert (clone / "params.yaml").read_bytes() == before


def test_right_values_pass_and_other_commands_are_not_checked(clone):
    prepare(clone, ("exp", "run"), ["train.dropout=0.1"])
    prepare(clone, ("push",), ["train.dropout=1.5"])


def test_a_value_that_is_left_in_params_yaml_is_named_with_the_way_back(clone, capsys):
    params = clone / "params.yaml"
    before = params.read_text()
    try:
        params.write_text(before.replace("dropout: null", "dropout: 0.4"))
        prepare(clone, ("repro",), [])
        assert (
            "differs from the last commit in train.dropout: if a run left that there, `git restore"
            in capsys.readouterr().err
        )
        params.write_text(before.replace("dropout: null", "dropout: 4"))
        line = refusal(prepare, clone, ("repro",), [])
        assert line.startswith("train.dropout: expected less than")
        assert line.endswith("`git restore --staged --worktree params.yaml` takes it back")
    finally:
        params.write_text(before)
    prepare(clone, ("repro",), [])
    assert capsys.readouterr().err == ""


def test_outside_a_git_repository_it_says_so(clone, no_repository):
    unpacked = shutil.copytree(clone, no_repository / "zip", ignore=shutil.ignore_patterns(".git"))
    line = refusal(prepare, unpacked, ("repro",), [])
    assert f"{unpacked} is not in a git repository" in line
    assert "git init" in line


@pytest.mark.parametrize("command", [("status",), ("queue", "status")])
def test_what_a_killed_dvc_left_is_mended_before_any_command(clone, capsys, monkeypatch, command):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    lock, rwlock = clone / "dvc.lock", clone / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    lock.write_text("")
    rwlock.write_text("")
    prepare(clone, command, [])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(".dvc/tmp/rwlock")
    assert second.startswith("dvc.lock was left half-written")
    assert not lock.exists()
    prepare(clone, command, [])
    assert capsys.readouterr().err == ""


def test_workspaces_of_killed_experiments_are_removed_before_the_queue_starts(clone, capsys):
    workspace = clone / ".dvc" / "tmp" / "exps" / "tmpkilled"
    workspace.mkdir(parents=True)
    prepare(clone, ("queue", "status"), [])
    assert workspace.exists()
    prepare(clone, ("queue", "start"), [])
    assert not workspace.exists()
    assert ".dvc/tmp/exps/tmpkilled" in capsys.readouterr().err


def test_unfinished_files_of_a_killed_run_are_removed_before_the_next_one(clone, capsys):
    partial = clone / "models" / "gone.keras.partial"
    partial.parent.mkdir(exist_ok=True)
    partial.touch()
    prepare(clone, ("status",), [])
    assert partial.exists()
    prepare(clone, ("repro",), [])
    assert not partial.exists()
    assert capsys.readouterr().err.startswith("removed 1 unfinished file(s) or folder(s) of runs that were killed")


def test_ctrl_c_before_dvc_begins_is_said_in_one_line(clone, monkeypatch, capsys):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.runtime.dvc_command.prepare", interrupt)
    assert start(monkeypatch, clone, "repro") == (130, [])
    assert capsys.readouterr().err == "error: interrupted before DVC began: nothing has changed\n"


def test_a_full_disk_before_dvc_begins_is_said_in_one_line(clone, monkeypatch, capsys):
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "params.yaml")

    monkeypatch.setattr("pipeline.runtime.dvc_command.prepare", fill)
    assert start(monkeypatch, clone, "repro") == (255, [])
    line = capsys.readouterr().err
    assert line.startswith("error: the disk is full (params.yaml")
    assert line.count("\n") == 1


@pytest.mark.ci
def test_the_page_for_plots_is_written_where_it_is_missing(clone):
    page = clone / ".cache" / "plots.html"
    shutil.rmtree(page.parent, ignore_errors=True)
    prepare(clone, ("plots", "show"), [])
    assert "{plot_divs}" in page.read_text()


def test_stages_get_the_python_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dvc", "--version"])
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr("pipeline.runtime.dvc_command.run_dvc", lambda: 0)
    assert main() == 0
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def start(monkeypatch, folder: Path, *words: str) -> tuple[int, list[Path]]:
    """(Exit status, the folders in which DVC ran), without what DVC does."""
    ran = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["dvc", *words])
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setattr("pipeline.runtime.dvc_command.run_dvc", lambda: ran.append(Path.cwd()) or len(ran) - 1)
    return main(), ran


def test_a_run_from_a_subfolder_is_that_of_the_project(clone, monkeypatch):
    assert start(monkeypatch, clone / "stages", "repro") == (0, [clone])
    assert start(monkeypatch, clone / "stages", "status") == (0, [clone / "stages"])


def test_help_is_given_whatever_is_in_params_yaml(clone, monkeypatch, capsys):
    assert start(monkeypatch, clone, "exp", "run", "--help", "-S", "families=x") == (0, [clone])
    assert start(monkeypatch, clone, "exp", "run", "-S", "families=x") == (255, [])
    assert capsys.readouterr().err == "error: families: expected a list in brackets, such as [x], received 'x'\n"


def test_a_secret_in_an_address_is_not_said_again(clone, monkeypatch, capsys):
    for address in (
        "https://me:cret@host/x y.zip",
        "https://host/x y.zip?token=cret",
        "https://host/x.zip?token=cret d",
    ):
        assert start(monkeypatch, clone, "repro", "-S", f"data.path={address}") == (255, [])
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert "cret" not in said


@pytest.mark.ci
@pytest.mark.parametrize("override", ["families=underfit", "families=[resnet50]", "crossval.folds=5"])
def test_nothing_in_the_workspace_changes_for_a_mistake(finished_clone, tmp_path, override):
    folder = finished_clone(tmp_path / "clone")
    files = {
        file: file.read_bytes()
        for top in ("data", "models", "metrics")
        for file in (folder / top).rglob("*")
        if file.is_file()
    }
    command = [sys.executable, "-c", "import sys; from pipeline.runtime.dvc_command import main; sys.exit(main())"]
    output = run([*command, "exp", "run", "-S", override], folder, expect=255)
    assert output.startswith("error: ")
    assert output.count("\n") == 1
    assert {file: file.read_bytes() for file in files if file.exists()} == files
    assert subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, check=True).stdout == b""
