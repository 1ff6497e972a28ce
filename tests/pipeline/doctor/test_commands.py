import shlex

import pytest
from dvc.utils.hydra import dict_product

from pipeline.config.reader import load_params
from pipeline.doctor.commands import parse_setting, write_command
from pipeline.runtime.errors import PipelineError


def test_plain_paths_are_not_quoted():
    place = {"data.source": "folder", "data.path": "/home/me/pictures"}
    assert write_command(place, []) == "dvc exp run -S data.source=folder -S data.path=/home/me/pictures"


def test_settings_follow_as_they_were_given():
    setting = "data.splits={holdout: test}"
    words = shlex.split(write_command({}, [setting]))
    assert words == ["dvc", "exp", "run", "-S", setting]
    assert dict_product({"a": [setting]})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.dropout=0.3", 0.3),
        ("data.path=null", None),
        ('data.path="/a (1).zip"', "/a (1).zip"),
        ("data.splits={holdout: test}", {"holdout": "test"}),
        ("families=[overfit,underfit]", ["overfit", "underfit"]),
        ("+recipes.overfit.dropout=0.1", 0.1),
    ],
)
def test_a_setting_is_read_as_dvc_reads_it(text, value):
    assert parse_setting(text)[1] == value


@pytest.mark.parametrize("plus", ["+", "++"])
def test_a_key_may_be_new_with_a_plus(plus):
    name, value = parse_setting(f"{plus}evaluate.costs.cat=5")
    assert load_params(overrides={name: value}).evaluate.costs == {"cat": 5}


@pytest.mark.parametrize("text", ["a b", "train.dropout", "train.dropout=0.1,0.2", "~train.dropout", "data.path=a (1)"])
def test_what_is_no_value_of_a_parameter_is_refused_in_one_line(text):
    with pytest.raises(PipelineError, match=r"^-S .*expected"):
        parse_setting(text)
