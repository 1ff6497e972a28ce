"""What runs in place of a shell where a stage is sent to a cluster: what needs no Ray. The rest: tests/test_clusters.py."""

import logging
import time
from pathlib import Path

import pytest

from pipeline.runtime.cluster_shell import describe_loss, main, relayed
from pipeline.runtime.errors import PipelineError


def test_what_another_process_appends_appears_while_it_runs_byte_for_byte(tmp_path, capfd):
    seen = ""
    with relayed(tmp_path) as log:
        for said in (b"epoch 1\n", "é half \xff".encode("latin-1"), b"\rhalf\n"):
            with log.open("ab") as stream:
                stream.write(said)
            deadline = time.monotonic() + 60
            before = seen
            while seen == before:
                assert time.monotonic() < deadline
                time.sleep(0.05)
                seen += capfd.readouterr().err
        with log.open("ab") as stream:
            stream.write(b"the end")
    assert (seen + capfd.readouterr().err).startswith("epoch 1\n")
    assert seen.splitlines()[-1] == "half"
    assert list(tmp_path.iterdir()) == []


def test_the_last_words_of_what_fails_are_said_too(tmp_path, capfd):
    def fail():
        with relayed(tmp_path) as log:
            log.write_text("error: no memory\n")
            raise PipelineError("lost")

    with pytest.raises(PipelineError):
        fail()
    assert capfd.readouterr().err == "error: no memory\n"
    assert list(tmp_path.iterdir()) == []


def test_storage_that_is_away_for_a_moment_ends_nothing(tmp_path, capfd):
    with relayed(tmp_path) as log:
        aside = log.rename(tmp_path / "aside")
        time.sleep(1.2)
        aside.write_text("still here\n")
        aside.rename(log)
    assert capfd.readouterr().err == "still here\n"


@pytest.fixture
def _levels(monkeypatch):
    for name in ("pipeline", "stages", "__main__", "pipeline.runtime.cluster"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.getLogger(name).level)
    monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers])


@pytest.mark.usefixtures("_levels")
def test_its_status_is_that_of_the_command(monkeypatch, tmp_path):
    asked = []

    def run(*arguments):
        asked.append(arguments)
        return 3

    monkeypatch.setattr("pipeline.runtime.cluster_shell.run_there", run)
    assert main([str(tmp_path), "10.0.0.1:6379", "2", "-c", "python -m stages.train"]) == 3
    assert asked == [("python -m stages.train", tmp_path, "10.0.0.1:6379", 2)]


@pytest.mark.usefixtures("_levels")
def test_what_it_can_mend_nothing_of_is_one_line(monkeypatch, capsys):
    def run(*_):
        raise PipelineError(describe_loss("train@overfit", MemoryError()))

    monkeypatch.setattr("pipeline.runtime.cluster_shell.run_there", run)
    assert main(["folder", "10.0.0.1:6379", "2", "-c", "python -m stages.train"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: train@overfit: its worker on the Ray cluster was lost 3 times (MemoryError): ")
    assert said.count("\n") == 1


def test_there_are_no_other_files(tmp_path):
    with relayed(tmp_path), relayed(tmp_path):
        assert len(list(Path(tmp_path).iterdir())) == 2, "one for each stage"
    assert list(tmp_path.iterdir()) == []
