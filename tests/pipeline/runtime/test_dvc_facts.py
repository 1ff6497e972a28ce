import os
from pathlib import Path

import pytest

from pipeline.runtime.dvc_facts import describe_dvc, hide_secrets
from pipeline.runtime.errors import PipelineError


@pytest.fixture
def describe(tmp_path):
    """Describes a DVC project with this configuration."""

    def write(config=""):
        (tmp_path / ".dvc").mkdir(exist_ok=True)
        (tmp_path / ".dvc/config").write_text(config)
        return describe_dvc(tmp_path)

    return write


def test_a_folder_without_dvc_is_no_project(tmp_path):
    assert describe_dvc(tmp_path) is None


def test_the_first_link_that_works_is_the_one_in_use(describe, tmp_path):
    found = describe("[cache]\n    type = hardlink,symlink,copy\n")
    assert found.cache == tmp_path / ".dvc/cache"
    assert found.asked == ("hardlink", "symlink", "copy")
    assert (found.link, found.copies) == ("hardlink", 1)


def test_copies_are_on_disk_twice(describe):
    found = describe("[cache]\n    type = copy\n")
    assert (found.working, found.copies) == (("copy",), 2)


def test_trying_links_leaves_nothing_behind(describe, tmp_path):
    describe()
    assert list((tmp_path / ".dvc").iterdir()) == [tmp_path / ".dvc/config"]


def test_a_cache_elsewhere_is_tried_from_there(describe, tmp_path):
    (tmp_path / "shared").mkdir()
    found = describe("[cache]\n    dir = ../shared/cache\n    type = symlink\n")
    assert Path(os.path.normpath(found.cache)) == tmp_path / "shared/cache"
    assert found.link == "symlink"
    assert list((tmp_path / "shared").iterdir()) == []


def test_remotes_are_named_without_logins(describe):
    found = describe(
        "[core]\n    remote = store\n['remote \"store\"']\n    url = ssh://me:secret@host/path\n"
        "['remote \"other\"']\n    url = https://host/x?token=secret\n"
    )
    assert found.remotes == {"other": "https://host/x", "store": "ssh://host/path"}
    assert found.default_remote == "store"


@pytest.mark.parametrize("address", ["s3://bucket/a", "/mnt/store", "../store"])
def test_an_address_without_secrets_stays(address):
    assert hide_secrets(address) == address


def test_a_project_can_do_without_git(describe):
    assert describe().needs_git
    assert not describe("[core]\n    no_scm = true\n").needs_git


def test_a_configuration_that_dvc_refuses_is_one_line(describe):
    with pytest.raises(PipelineError, match=r"^DVC can't read its configuration .*\.dvc/config"):
        describe("[cache]\n    type = softlink\n")
