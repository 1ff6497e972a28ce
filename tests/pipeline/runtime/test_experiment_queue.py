"""Experiments of DVC's queue whose worker was killed go back into the queue; others stay as they are."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runtime.experiment_queue import requeue_killed
from tests.clone import commit, run

ROOT = Path(__file__).resolve().parents[3]
CELERY = Path(".dvc/tmp/exps/celery")
DVC_YAML = "stages:\n  nothing:\n    cmd: echo done > out\n    outs: [out]\n    params: [width]\n"


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one experiment in the queue. Not to be changed."""
    folder = tmp_path_factory.mktemp("queue")
    run(["git", "init", "--quiet", "--initial-branch=main"], folder)
    run(["dvc", "init", "--quiet"], folder)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "params.yaml").write_text("width: 1\n")
    commit(folder, "start")
    run(["dvc", "exp", "run", "--queue", "--name", "wide", "-S", "width=2"], folder)
    return folder


@pytest.fixture
def project(queued: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    run(["cp", "-a", str(queued), str(folder)], tmp_path)
    return folder


def find_message(project: Path, folder: str) -> list[Path]:
    return list((project / CELERY / "broker" / folder).glob("*.celery.msg"))


def take(project: Path) -> str:
    """As a worker does: the message goes aside, the commit out of the stash. Returns the number of the task."""
    [message] = find_message(project, "in")
    taken = message.replace(project / CELERY / "broker" / "processed" / message.name)
    run(["git", "reflog", "delete", "--updateref", "refs/exps/celery/stash@{0}"], project)
    return json.loads(taken.read_bytes())["headers"]["id"]


def show_queue(project: Path) -> str:
    return next(line for line in run(["dvc", "queue", "status"], project).splitlines() if " wide " in line)


@pytest.mark.ci
def test_an_experiment_whose_worker_was_killed_is_queued_again_as_it_was(project):
    before = show_queue(project)
    take(project)
    assert "Running" in show_queue(project)
    assert requeue_killed(project) == (
        "1 experiment(s) whose run was killed are in the queue again (wide): `dvc queue start`"
    )
    assert show_queue(project) == before
    assert requeue_killed(project) is None


def test_one_that_a_worker_had_not_yet_taken_out_of_the_stash_is_queued_again(project):
    [message] = find_message(project, "in")
    message.replace(project / CELERY / "broker" / "processed" / message.name)
    assert "(wide)" in str(requeue_killed(project))
    assert len(run(["git", "reflog", "refs/exps/celery/stash"], project).splitlines()) == 1


def test_one_that_waits_and_one_that_has_ended_stay_as_they_are(project):
    assert requeue_killed(project) is None
    number = take(project)
    (project / CELERY / "result").mkdir(exist_ok=True)
    (project / CELERY / "result" / f"celery-task-meta-{number}").write_text('{"status": "SUCCESS"}')
    assert requeue_killed(project) is None
    assert find_message(project, "processed")


def test_one_that_runs_stays_as_it_is(project):
    take(project)
    with subprocess.Popen(
        [sys.executable, "-c", "input() # stages.train"], cwd=project, stdin=subprocess.PIPE
    ) as stage:
        assert requeue_killed(project) is None
        stage.communicate(b"\n")
    assert find_message(project, "processed")


def test_a_result_that_was_cut_off_counts_for_nothing(project):
    result = project / CELERY / "result" / f"celery-task-meta-{take(project)}"
    result.parent.mkdir(exist_ok=True)
    result.write_text('{"status": "SU')
    assert "(wide)" in str(requeue_killed(project))
    assert not result.exists()


@pytest.mark.parametrize("content", [b"", b'{"headers": {"i', b"[]"])
def test_a_message_that_was_never_whole_is_removed(tmp_path, content):
    file = tmp_path / CELERY / "broker" / "processed" / "1.celery.msg"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert requeue_killed(tmp_path) is None
    assert not file.exists()


@pytest.mark.ci
def test_one_whose_result_was_collected_has_ended(project):
    number = take(project)
    head = run(["git", "rev-parse", "HEAD"], project).strip()
    reference = f"refs/exps/{head[:2]}/{head[2:]}/wide"
    run(["git", "update-ref", reference, head], project)
    message = json.loads(find_message(project, "processed")[0].read_bytes())
    assert message["headers"]["id"] == number
    note = {
        "git_url": "",
        "baseline_rev": head,
        "location": "dvc-task",
        "root_dir": "gone",
        "dvc_dir": ".dvc",
        "name": "wide",
        "result_hash": "0" * 64,
        "result_ref": reference,
        "status": 4,
    }
    revision = json.loads(base64.b64decode(message["body"]))[0][0]["stash_rev"]
    file = project / ".dvc/tmp/exps/run" / revision / f"{revision}.run"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(note))
    assert requeue_killed(project) is None
    assert "Success" in show_queue(project)


def test_a_project_without_a_queue_has_nothing_to_queue(tmp_path):
    assert requeue_killed(tmp_path) is None


RUN = """
from pipeline.runtime.experiment_queue import end_with_worker
import time
end_with_worker()
print("begun", flush=True)
time.sleep(60)
print("at its end", flush=True)
"""
WORKER = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]]).wait()"


def start(*words: str) -> subprocess.Popen[str]:
    """A process with these words in its command line, which has started the run of an experiment."""
    started = subprocess.Popen(
        [sys.executable, "-c", WORKER, RUN, *words], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "begun\n"
    return started


def test_a_run_ends_with_its_worker():
    with start("exp", "queue-worker") as worker:
        worker.kill()
        assert worker.stdout is not None
        assert worker.stdout.read() == "", "the run, which holds the other end, was ended"


def test_a_run_that_no_worker_started_goes_on():
    import psutil

    with start() as started:
        [child] = psutil.Process(started.pid).children()
        started.kill()
        started.wait()
        time.sleep(0.3)
        assert child.is_running()
        child.kill()
