import argparse
import errno
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from pipeline.runtime.cli import file_to_write, read_words, report_errors, run_family_verb, run_verb
from pipeline.runtime.errors import PipelineError

ROOT = Path(__file__).resolve().parents[3]


def raising(error: BaseException):
    def verb() -> None:
        raise error

    return verb


def test_a_successful_verb_prints_nothing_on_stderr(capsys):
    assert report_errors(lambda: None) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (PipelineError("data.path\n is wrong"), 1, "data.path is wrong"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenProcessPool(), 1, "lower preprocess.num_workers"),
        (OSError(errno.ENOSPC, "No space left", "data/raw"), 1, "the disk is full (data/raw"),
        (OSError(errno.EDQUOT, "Quota exceeded"), 1, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "cat.png"), 1, "no permission (cat.png)"),
        (OSError(errno.EROFS, "Read-only", "data"), 1, "no permission (data)"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 1, "the path is too long (xxx"),
        (OSError(errno.ELOOP, "Too many levels", "a"), 1, "links lead in a circle (a)"),
        (PipelineError("a file \x1b]0;title\x07\u202e"), 1, r"a file \x1b]0;title\x07\u202e"),
        (FileNotFoundError(errno.ENOENT, "No such file", "data/manifest.csv"), 1, "data/manifest.csv is not here"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/home/me/cat.png"), 1, "/home/me/cat.png does not exist"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x.html"), 1, "x.html is a folder where a file is expected"),
        (FileNotFoundError(errno.ENOENT, "No such file", b"cat.png"), 1, "error: cat.png does not exist"),
        (MemoryError("Unable to allocate 9 GB"), 1, "out of memory (Unable to allocate 9 GB): "),
        (MemoryError(), 1, "out of memory: "),
        (OSError(errno.EIO, "a broken disk"), 1, "error: a disk or the network failed, which said "),
    ],
)
def test_an_error_that_the_user_can_fix_ends_in_one_line_and_a_status(capsys, error, status, line):
    assert report_errors(raising(error)) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert line in captured.err


class TestFileToWrite:
    def test_it_need_not_exist_nor_its_folder(self, tmp_path):
        assert file_to_write(str(tmp_path / "new" / "page.html")) == tmp_path / "new" / "page.html"

    @pytest.mark.parametrize("name", ["", ".", "folder", "folder/", "file/page.html"])
    def test_what_can_be_none_is_refused_before_the_work(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            file_to_write(name)


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EBADF, "a bug"), FileNotFoundError()])
def test_any_other_error_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        report_errors(raising(error))


def run(monkeypatch, *arguments: str, verb=lambda: None, doc: str = "What it does.") -> int:
    monkeypatch.setattr(sys, "argv", ["verb", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_verb(verb, doc)
    return int(ended.value.code or 0)


def test_help_shows_what_the_verb_does(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    assert "What it does." in capsys.readouterr().out


def test_an_unknown_option_is_refused(monkeypatch, capsys):
    assert run(monkeypatch, "--fast") == 2
    assert "--fast" in capsys.readouterr().err


def test_the_status_is_that_of_the_verb(monkeypatch):
    assert run(monkeypatch) == 0
    assert run(monkeypatch, verb=raising(PipelineError("no"))) == 1


def test_a_family_verb_receives_the_family(monkeypatch):
    given: list[str] = []
    monkeypatch.setattr(sys, "argv", ["train", "underfit"])
    with pytest.raises(SystemExit) as ended:
        run_family_verb(given.append, "Trains.")
    assert ended.value.code == 0
    assert given == ["underfit"]


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_an_unknown_family_is_refused_with_the_nearest_names(verb):
    ended = run_module(verb, "undrfit", cwd=ROOT)
    assert ended.returncode == 1
    assert ended.stderr == "error: families: no family is called 'undrfit': did you mean underfit or overfit?\n"


def run_module(verb: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"stages.{verb}", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_a_stage_outside_the_project_ends_in_one_line(tmp_path):
    ended = run_module("locate", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "params.yaml is not here" in ended.stderr


@pytest.mark.parametrize(
    ("line", "stage", "count", "words"),
    [
        ("", "train@overfit", 1, ["--", "overfit"]),
        ("", "../dvc.yaml:train@overfit", 1, ["--", "overfit"]),  # DVC started in a subfolder
        ("", "train@--help; ls", 1, ["--", "--help; ls"]),
        ("", "train@overfit-3", 2, ["--", "overfit", "3"]),
        ("", "train@overfit--3", 2, ["--", "overfit", "-3"]),
        ("", "embed@overfit", 1, []),  # within another stage
        ("", "train", 1, []),
        ("", None, 1, []),
        ("underfit", "train@overfit", 1, ["underfit"]),
        ("-v underfit", "train@overfit", 1, ["-v", "underfit"]),
    ],
)
def test_dvc_tells_a_stage_its_item_beside_the_command_line(monkeypatch, line, stage, count, words):
    monkeypatch.setattr(sys, "argv", ["train.py", *line.split()])
    monkeypatch.delenv("DVC_STAGE", raising=False)
    if stage is not None:
        monkeypatch.setenv("DVC_STAGE", stage)
    assert read_words("train", count) == words
