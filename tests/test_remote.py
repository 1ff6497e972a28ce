"""A team's remote in S3, on a server of this machine, and a colleague's fresh clone, which pulls what it needs and trains no
more than what has changed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.clone import commit, list_stages_run, run

pytestmark = [pytest.mark.ci, pytest.mark.timeout(1800)]

FAMILIES = ("linear_svm", "underfit", "efficientnet_lite0")
BUCKET = "team"
KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "NO_PROXY": "127.0.0.1",
}
PULLING = ["dvc", "repro", "--pull", "--allow-missing"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server that speaks S3 and has an empty bucket."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    pytest.importorskip("dvc_s3")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket=BUCKET)
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def mine(address: str, finished_clone: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has pushed its results. Its own cache is out of reach of others: it has another name."""
    mine = finished_clone(tmp_path_factory.mktemp("remote") / "mine")
    run(["dvc", "remote", "add", "--default", "store", f"s3://{BUCKET}/project"], mine)
    run(["dvc", "remote", "modify", "store", "endpointurl", address], mine)
    commit(mine, "store")
    run(["dvc", "push"], mine, **KEYS)
    return mine


@pytest.fixture(scope="module")
def clone(mine: Path) -> Path:
    """A fresh clone, without any data."""
    folder = mine.with_name("clone")
    run(["git", "clone", "--quiet", str(mine), str(folder)], mine.parent)
    return folder


def change(folder: Path, section: list[str], key: str, value: object) -> None:
    file = folder / "params.yaml"
    params = yaml.safe_load(file.read_text())
    inner = params
    for name in section:
        inner = inner[name]
    inner[key] = value
    file.write_text(yaml.safe_dump(params, allow_unicode=True))


def test_a_pull_is_enough_to_run_nothing(mine: Path) -> None:
    folder = mine.with_name("pulled")
    run(["git", "clone", "--quiet", str(mine), str(folder)], mine.parent)
    run(["dvc", "pull"], folder, **KEYS)
    assert list_stages_run(run(["dvc", "repro"], folder)) == []
    for name in ("metrics/report.html", "data/raw/index.csv", "models/underfit.keras"):
        assert (folder / name).read_bytes() == (mine / name).read_bytes()


def test_without_a_pull_nothing_runs_either_and_nothing_is_fetched(clone: Path) -> None:
    said = run(PULLING, clone, **KEYS)
    assert list_stages_run(said) == []
    assert not (clone / "data" / "raw").exists()
    assert run(["git", "status", "--porcelain"], clone) == ""


def test_a_change_of_one_family_trains_that_one_and_pulls_the_others_evaluations(clone: Path) -> None:
    change(clone, ["recipes", "linear_svm"], "max_iterations", 51)
    ran = list_stages_run(run(PULLING, clone, **KEYS))
    assert [stage for stage in ran if stage.startswith(("train", "evaluate"))] == [
        "train@linear_svm",
        "evaluate@linear_svm",
    ]
    assert not {"download", "prune", "split", "preprocess", "embed@efficientnet_lite0"} & {*ran}
    assert {path.name for path in (clone / "data" / "evaluations").iterdir()} == {*FAMILIES}


def test_a_change_of_the_evaluation_evaluates_and_reports_without_training(clone: Path) -> None:
    change(clone, ["evaluate"], "coverage", 0.9)
    ran = list_stages_run(run(PULLING, clone, **KEYS))
    assert ran[0] == "check"
    assert ran[-1] == "report"
    assert {stage for stage in ran if "@" in stage and not stage.startswith("export@")} == {
        f"evaluate@{family}" for family in FAMILIES
    }
    assert not {"code", "locate", "download", "prune", "split", "preprocess", "examine"} & {*ran}
    assert (clone / "metrics" / "report.html").stat().st_size > 0
    assert list_stages_run(run(PULLING, clone, **KEYS)) == []
