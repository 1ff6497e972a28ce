import shlex

import pytest
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline.config.reader import parse_yaml
from pipeline.runtime.overrides import open_maps
from pipeline.sources.decision import suggest_map, write_name, write_value
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
    [
        *(("a b", "'a b'"), ("ab", "ab"), ("x/a.csv", "x/a.csv"), ("*/a.csv", "'*/a.csv'")),
        *(("nan", "'\"nan\"'"), ("Infinity", "Infinity"), ("a (b)", "'\"a (b)\"'")),
    ],
)
def test_a_value_by_itself_stays_whole_in_a_shell(name, expected):
    assert write_value(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("a", "my/set/a", "a b", "a  b", "labels (1).csv", "Patient (anon.)", "Batch (2)", "2021_05", "2021", "007"),
        *(
            "1_000",
            "1e5",
            "3.0",
            "0x1f",
            "True",
            "null",
            "nan",
            "Infinity",
            "no",
            "~",
            "[x]",
            "{x}",
            "a,b",
            "Ann's",
            'a "b"',
            "'",
        ),
        *("x#y", "a=b", "a: b", "a;b", "a&b", "$HOME", "${x}", "`x`", "a\\b", "a!", " a", "a ", "K\u00e4fer", "\u732b"),
        *("-x", ".x", "*/metadata.jsonl", "*", "a?b", "[ab]*.csv", 'Ann\'s "best" (2), $5'),
    ],
)
def test_a_value_that_is_pasted_into_a_shell_is_the_name(name, tmp_path):
    *_, option, setting = shlex.split(f"dvc exp run -S data.root={write_value(name)}")
    assert option == "-S"
    assert open_maps([option, setting]) == [option, setting]
    [swept] = get_hydra_sweeps({"params.yaml": [setting]})
    file = tmp_path / "params.yaml"
    file.write_text("data:\n  root: null\n")
    apply_overrides(file, list(swept["params.yaml"]))
    assert parse_yaml(file.read_text(encoding="utf-8")) == {"data": {"root": name}}


@pytest.mark.parametrize("name", ["a\nb", "a\x1b", "\u200b"])
def test_a_name_that_nobody_can_type_stays_one_line(name):
    assert write_value(name).isprintable()


@pytest.mark.parametrize("name", ["a b", "a (b)", "2021_05", "True", "Ann's", "x#y", "a,b", "K\u00e4fer"])
def test_a_name_in_a_list_is_read_from_the_command_line_and_from_the_file(name):
    written = write_name(name)
    assert PARSER.parse_override(f"prune.drop_classes=[{written}]").value() == parse_yaml(f"[{written}]") == [name]
    assert "'" not in written or "'" in name  # it can stand in single quotes of the shell
