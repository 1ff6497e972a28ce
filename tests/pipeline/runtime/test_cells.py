import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.cells import guard_cell, read_cell

FORMULAS = (
    *(
        '=HYPERLINK("http://127.0.0.1/?"&A1)',
        "=1+1",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "=cmd|' /C calc'!A0",
    ),
    *("＝1+1", "＋1", "－1", "＠SUM", "-", "=", "-x.jpg", "@eaDir/x.jpg", "+1-1", "--1", "-1e", "-1\n=1"),
)


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(text):
    assert guard_cell(text) == f"'{text}"
    assert read_cell(f"'{text}") == text


@pytest.mark.parametrize(
    "text", ["", "cat", "cat=1", "a-b.jpg", "'t Hof", "''", "'", "-1", "+1", "-0.5", "-.5", "+1e-05", "1"]
)
def test_names_and_numbers_stay(text):
    assert guard_cell(text) == text
    assert read_cell(text) == text


@given(st.text(alphabet="'=+-@\t\r＝a1.e\n"))
def test_every_text_is_read_as_it_was_and_none_is_written_as_a_formula(text):
    written = guard_cell(text)
    assert read_cell(written) == text
    assert not written.startswith(("=", "@", "\t", "\r", "\n", "＝"))
