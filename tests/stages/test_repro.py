import pytest
import yaml

from stages.repro import main
from tests.clone import make_clone, run


@pytest.mark.parametrize("jobs", ["0", "-2"])
def test_fewer_than_one_stage_at_a_time_is_refused_in_one_line(jobs, capsys):
    assert main(["-j", jobs]) == 1
    assert capsys.readouterr().err == (f"error: -j {jobs}: expected the number of stages to run at a time, 1 or more\n")


@pytest.mark.ci
def test_it_ends_in_the_files_and_the_lock_of_dvc_repro(tmp_path, finished_clone):
    alone = finished_clone(tmp_path / "alone")
    clone = make_clone(tmp_path / "clone")
    (clone / "params.yaml").write_bytes((alone / "params.yaml").read_bytes())
    said = run(["python", "-m", "stages.repro", "-j", "3"], clone)
    assert "train@underfit: Running stage 'train@underfit'" in said
    assert read_lock(clone) == read_lock(alone)
    # DVC finds nothing to do, and neither does a second run.
    assert "Data and pipelines are up to date" in run(["dvc", "status"], clone)
    assert "Running stage" not in run(["python", "-m", "stages.repro", "-j", "3"], clone)


@pytest.mark.ci
def test_what_it_does_not_know_and_what_is_wrong_in_params_are_one_line(tmp_path):
    clone = make_clone(tmp_path / "clone")
    said = run(["python", "-m", "stages.repro", "trian"], clone, expect=1)
    assert said.startswith("error: trian: ")
    assert said.count("\n") == 1
    (clone / "params.yaml").write_text((clone / "params.yaml").read_text().replace("\n  seed: 42", "\n  seeed: 42", 1))
    said = run(["python", "-m", "stages.repro"], clone, expect=1)
    assert "seeed" in said
    assert "Running stage" not in said


def read_lock(folder):
    return yaml.safe_load((folder / "dvc.lock").read_text())
