"""The doctor's answer as text: headings on the left, lines wrapped beside them, what to change at the end."""

import shutil
import textwrap

from pipeline.doctor.diagnosis import Diagnosis
from pipeline.doctor.findings import Finding
from pipeline.runtime.unseen import show_unseen_in_name

_LEFT = 10  # characters of a heading
_WIDEST = 120
_PLAIN = str.maketrans({"…": "...", "×": "x", "–": "-", "’": "'", "±": "+-"})


def write_screen(diagnosis: Diagnosis, *, is_unicode: bool, width: int | None = None) -> str:
    """is_unicode: whether whoever reads it can show more than ASCII. width: characters per line; None: the terminal's."""
    width = min(_WIDEST, width or shutil.get_terminal_size((_WIDEST, 0)).columns)
    lines: list[str] = []
    for heading, found in diagnosis.sections.items():
        for number, line in enumerate(found):
            lines += _wrap("" if number else heading, line, width)
    lines += ["", *_list_findings(diagnosis.findings, width)]
    if diagnosis.command:
        lines += ["", "once that is settled:" if diagnosis.stops else "to run on this:", _clean(diagnosis.command)]
    text = "\n".join(lines)
    return text if is_unicode else text.translate(_PLAIN).encode("ascii", "backslashreplace").decode()


def _list_findings(findings: list[Finding], width: int) -> list[str]:
    if not findings:
        return ["nothing to change"]
    ordered = sorted(dict.fromkeys(findings), key=lambda finding: not finding.stops)
    lines = ["to change:" if any(finding.stops for finding in ordered) else "nothing stops a run; to consider:"]
    for finding in ordered:
        lines += _wrap("STOPS" if finding.stops else "  -", finding.text, width)
    return lines


def _wrap(heading: str, line: str, width: int) -> list[str]:
    return textwrap.wrap(
        _clean(line),
        width,
        initial_indent=f"{heading:<{_LEFT}}",
        subsequent_indent=" " * _LEFT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _clean(text: str) -> str:
    """What can't be seen in names of files as its number, such as `\\x1b`; bytes that are not UTF-8 likewise."""
    return show_unseen_in_name(text)
