import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline.config.reader import parse_yaml
from pipeline.sources.decision import suggest_map, write_value
from pipeline.sources.names import fits

PARSER = OverridesParser.create()  # `-S` of `dvc exp run` is Hydra's


@pytest.mark.parametrize(
    "name",
    [
        *(
            "cat",
            "my/set/cat",
            "cat (1)",
            "old [1]",
            "cat - Copy",
            "New Set(Augmented)",
            "o'hara",
            "a,b",
            "C:x",
            "x#1",
            "a: b",
        ),
        *("no", "001.Black", "2019", "2021-05-01", "cat.", "a=b", "a{b}"),
    ],
)
def test_what_is_advised_is_read_alike_from_the_command_line_and_from_the_file(name):
    advised = suggest_map([name], "ignore")
    by_command = PARSER.parse_override(advised).value()
    assert by_command == parse_yaml(advised.removeprefix("data.splits="))
    (pattern,) = by_command
    assert fits(name, str(pattern))


@pytest.mark.parametrize("name", ["true", "[x]", "K\u00e4fer", "\u732b", "cat ", "007", "1.5", "1e5", "cat\u200b"])
def test_other_names_are_quoted_for_the_file(name):
    assert parse_yaml(suggest_map([name], "ignore").removeprefix("data.splits=")) == {name: "ignore"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a b", "'a b'"), ("ab", "ab"), ("nan", "'nan'"), ("Infinity", "'Infinity'"), ("a (b)", "'a (b)'")],
)
def test_a_value_by_itself_stays_whole_in_a_shell(name, expected):
    assert write_value(name) == expected
