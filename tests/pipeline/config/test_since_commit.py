import subprocess
from pathlib import Path

import pytest

from pipeline.config.since_commit import describe_changes

PARAMS = "train:\n  seed: 42 # of weights\n  dropout: null\nfamilies: [a]\nempty: {}\n"


@pytest.fixture
def params(no_repository: Path) -> Path:
    """Committed; the test is in its folder."""
    file = no_repository / "params.yaml"
    file.write_text(PARAMS)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "--quiet"], ["add", "params.yaml"], [*who, "commit", "--quiet", "-m", "start"]):
        subprocess.run(["git", *command], cwd=no_repository, check=True)
    return file


@pytest.mark.usefixtures("params")
def test_nothing_is_said_where_nothing_differs():
    assert describe_changes() is None


def test_a_comment_is_no_difference(params):
    params.write_text(PARAMS.replace("# of weights", "# of the weights"))
    assert describe_changes() is None


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("dropout: null", "dropout: 0.3", "train.dropout"),
        ("[a]", "[a, b]", "families"),
        ("[a]", "a", "families"),
        ("  dropout: null\n", "", "train.dropout"),
        ("empty: {}", "empty: {x: 1}", "empty.x"),
    ],
)
def test_parameters_that_differ_are_named_staged_or_not(params, old, new, names):
    params.write_text(PARAMS.replace(old, new))
    subprocess.run(["git", "add", "params.yaml"], check=True)
    line = describe_changes()
    assert line == (
        f"params.yaml differs from the last commit in {names}: if a run left that there, `git restore --staged "
        "--worktree params.yaml` takes it back"
    )
    subprocess.run(["git", "restore", "--staged", "--worktree", "params.yaml"], check=True)
    assert describe_changes() is None


def test_of_many_parameters_the_first_are_named(params):
    params.write_text(PARAMS + "".join(f"p{n}: 1\n" for n in range(9)))
    assert "in p0, p1, p2, p3, p4 and 4 more:" in str(describe_changes())


def test_a_file_that_is_no_longer_yaml_differs(params):
    params.write_text("train: [")
    assert str(describe_changes()).startswith("params.yaml differs from the last commit: if a run left")


def test_without_a_commit_nothing_is_said(no_repository):
    (no_repository / "params.yaml").write_text(PARAMS)
    assert describe_changes() is None
    (no_repository / "params.yaml").unlink()
    assert describe_changes() is None


def test_nothing_is_said_of_both_sides_of_a_merge(params):
    """The way back would throw one of them away."""
    params.write_text(
        PARAMS.replace("  seed: 42 # of weights\n", "<<<<<<< HEAD\n  seed: 1\n=======\n  seed: 2\n>>>>>>> x\n")
    )
    assert describe_changes() is None
