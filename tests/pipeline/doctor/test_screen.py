import pytest

from pipeline.doctor.diagnosis import Diagnosis
from pipeline.doctor.findings import Finding
from pipeline.doctor.screen import write_screen

LONG = "many words " * 20


def show(is_unicode=True, width=80, **values) -> str:
    return write_screen(Diagnosis(**values), is_unicode=is_unicode, width=width)


def test_headings_are_on_the_left_and_lines_beside_them():
    lines = show(sections={"data": ["one", LONG], "git": ["two"]}).splitlines()
    assert lines[0] == "data      one"
    assert lines[1].startswith("          many words")
    assert "git       two" in lines
    assert max(map(len, lines)) <= 80


def test_without_findings_there_is_nothing_to_change():
    assert show().splitlines()[-1] == "nothing to change"


def test_what_stops_comes_first_and_each_finding_once():
    lines = show(findings=[Finding("small"), Finding("grave", stops=True), Finding("small")]).splitlines()
    assert lines[-3:] == ["to change:", "STOPS     grave", "  -       small"]
    assert show(findings=[Finding("small")]).splitlines()[-2] == "nothing stops a run; to consider:"


def test_a_command_is_a_line_of_its_own_however_long():
    command = "dvc exp run -S " + "x" * 200
    assert show(command=command).splitlines()[-2:] == ["to run on this:", command]
    assert "once that is settled:" in show(command=command, findings=[Finding("grave", stops=True)])


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "h\udcfcnd"])
def test_names_of_files_control_no_terminal(name):
    text = show(sections={"data": [f"such as {name}"]})
    assert name not in text
    assert text.splitlines()[0].startswith("data      such as ")
    text.encode("utf-8")


def test_where_only_ascii_can_be_shown_it_is_ascii():
    text = show(is_unicode=False, sections={"data": ["Käfer … 猫"]})
    assert text.isascii()
    assert text.splitlines()[0] == "data      K\\xe4fer ... \\u732b"
