import shlex
import subprocess

import pytest

from pipeline.config.studies import STUDIES
from stages.study import main


@pytest.mark.parametrize(
    ("study", "part"), [(letter, part) for letter, study in STUDIES.items() for part in study.parts if letter != "B"]
)
def test_it_prints_commands_that_a_shell_takes_and_runs_none(study, part, capsys, no_repository):
    assert main([study, "--part", part, "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        assert shlex.split(line)[:3] == ["dvc", "exp", "run"]
    assert not list(no_repository.iterdir())


def test_pictures_of_ones_own_and_more_settings_are_in_the_command(capsys):
    assert main(["b", "my bears.zip", "--outside", "web pictures", "-S", "train.max_epochs=1", "--print"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[-1] == "train.max_epochs=1"  # after the study's own, so that it counts
    assert 'data.path="my bears.zip"' in words
    assert 'evaluate.outside_path="web pictures"' in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["F"], "study 'F' is unknown: expected one of A"),
        (["E", "--part", "tuning"], "study E has no part 'tuning': expected one of models"),
        (["B"], "the pictures of study B are not published"),
    ],
)
def test_what_it_does_not_know_is_refused_in_one_line(arguments, message, capsys):
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"error: {message}")
    assert output.err.count("\n") == 1


def test_it_refuses_to_run_on_parameters_that_an_earlier_run_has_left(project, capsys):
    for command in (["init", "--quiet"], ["add", "params.yaml"], ["commit", "--quiet", "-m", "start"]):
        who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        subprocess.run(["git", *who, *command], check=True)
    project.set(train__dropout=0.5)
    assert main(["D"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "params.yaml differs from the last commit" in output.err
    assert "`git restore --staged --worktree params.yaml`" in output.err
