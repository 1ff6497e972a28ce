"""One project on several machines: what DVC does where the user's own folder is, where it is gone, and where it never was."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.clone import commit, draw_pictures, list_stages_run, make_clone, run

pytestmark = pytest.mark.ci

UP_TO_DATE = "Data and pipelines are up to date."
_DVC = "import sys; from pipeline.runtime.dvc_command import main; sys.exit(main())"  # the `dvc` of the environment


def _set(project: Path, **values: str) -> None:
    """Sets parameters; two underscores stand for a dot."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    for name, value in values.items():
        section, key = name.split("__")
        params[section][key] = value
    (project / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """project: its data are downloaded, committed and pushed. pictures: what it was read from. strange: what is in no split.
    Not to be changed."""
    folder = tmp_path_factory.mktemp("home")
    draw_pictures(folder / "pictures", classes=["cat", "dog"], count=3)
    draw_pictures(folder / "strange", classes=["cow"], count=1)
    project = make_clone(folder / "project")
    _set(
        project,
        data__source="folder",
        data__path=str(folder / "pictures"),
        evaluate__outside_path=str(folder / "strange"),
    )
    (folder / "store").mkdir()
    run(["dvc", "remote", "add", "--default", "store", str(folder / "store")], project)
    run(["dvc", "repro", "download"], project)
    commit(project, "downloaded")
    run(["dvc", "push"], project)
    return folder


@pytest.fixture
def mine(home: Path, tmp_path: Path) -> Path:
    """A copy of `home`, which can be changed."""
    folder = shutil.copytree(home, tmp_path / "home", symlinks=True)
    project = folder / "project"
    _set(project, data__path=str(folder / "pictures"), evaluate__outside_path=str(folder / "strange"))
    run(["dvc", "repro", "download"], project)
    return folder


def _status(project: Path) -> str:
    return run(["dvc", "status", "data/watch/dvc.yaml", "code", "check", "locate", "download"], project)


def test_what_was_downloaded_is_up_to_date(mine):
    assert UP_TO_DATE in _status(mine / "project")


def test_changes_of_the_pictures_are_noticed(mine):
    more = mine / "pictures/cat/more.png"
    shutil.copyfile(mine / "pictures/cat/0.png", more)
    assert "modified" in _status(mine / "project")
    ran = list_stages_run(run(["dvc", "repro", "download"], mine / "project"))
    assert ran == ["data/watch/dvc.yaml:watch@source", "locate", "download"]
    more.unlink()
    ran = list_stages_run(run(["dvc", "repro", "download"], mine / "project"))
    assert ran == ["data/watch/dvc.yaml:watch@source", "locate"]  # download is in DVC's cache
    assert UP_TO_DATE in _status(mine / "project")


def test_pictures_that_are_gone_stop_nothing(mine):
    shutil.rmtree(mine / "pictures")
    shutil.rmtree(mine / "strange")
    ran = list_stages_run(run(["dvc", "repro", "download"], mine / "project"))
    assert sorted(ran) == ["data/watch/dvc.yaml:watch@outside", "data/watch/dvc.yaml:watch@source"]
    assert UP_TO_DATE in _status(mine / "project")


def test_a_colleague_has_nothing_to_run(home, tmp_path):
    colleague = tmp_path / "colleague"
    run(["git", "clone", "--quiet", str(home / "project"), str(colleague)], tmp_path)
    hidden = home.rename(home.with_name("hidden"))
    try:
        run(["dvc", "remote", "modify", "store", "url", str(hidden / "store")], colleague)
        run(["dvc", "pull", "download", "locate", "code", "check"], colleague)
        assert UP_TO_DATE in _status(colleague)
        for option in ([], ["--pull"], ["--allow-missing"]):
            assert list_stages_run(run(["dvc", "repro", *option, "download"], colleague)) == []
        assert (colleague / "data/outside/cow/0.png").exists()
        looked = run([sys.executable, "-c", _DVC, "exp", "run", "--dry", "-S", "split.seed=7", "download"], colleague)
        assert list_stages_run(looked) == ["check"]
        _set(colleague, data__layout="flat")
        refused = run(["dvc", "repro", "download"], colleague, expect=255)
        assert "does not exist: expected a folder of class folders" in refused
        assert (colleague / "data/raw").exists()
    finally:
        hidden.rename(home)
