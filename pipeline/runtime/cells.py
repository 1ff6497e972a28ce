"""Texts in the CSV files that people open: a spreadsheet would take a file name such as `=1+1.jpg` for a formula, and run it.

Such a text is written with an apostrophe before it, and read without; one that begins so anyway gets another.
"""

import re

# What Excel, LibreOffice and Google Sheets take for the start of a formula, if not of a number, also full-width.
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
GUARDED = re.compile(rf"'{FORMULA.pattern}")


def guard_cell(text: str) -> str:
    """The text as it is written: `'=1+1`. A number such as -1 stays."""
    return f"'{text}" if FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def read_cell(text: str) -> str:
    """The text that `guard_cell` has written so."""
    return text[1:] if GUARDED.match(text) else text
