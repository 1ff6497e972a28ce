"""Pages that need no other file, made from a template and what the sections say."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_TEMPLATES = Path(__file__).parent / "templates"
_SPACE = "\N{NO-BREAK SPACE}"
# Control characters, and those that turn the direction of all text behind them: one in a file name would reverse counts.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def render_page(template: str, **content: Any) -> str:
    """A complete page from report.html or another template in templates/.

    Every name in it is escaped; only charts, which are SVG of our own making, are not. Characters that can't be seen are
    shown as their numbers.
    """
    return _open_templates().get_template(template).render(**content) + "\n"


@cache
def _open_templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_show_unseen,
    )
    environment.filters |= {
        "percent": lambda value: "–" if value is None else f"{100 * value:.1f}{_SPACE}%",
        "points": lambda value: f"{100 * value:+.1f}{_SPACE}points".replace("-", "\N{MINUS SIGN}"),
        "metric": lambda value: "not defined" if value is None else f"{value:.3f}",
        "pvalue": lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
        "p_equals": lambda value: f"p{_SPACE}" + (f"<{_SPACE}0.001" if value < 0.001 else f"={_SPACE}{value:.3f}"),
        "thousands": lambda value: f"{int(value):,}",
    }
    return environment


def _show_unseen(value: Any) -> Any:
    """Text that a template shows, with each character that can't be seen as its number."""
    if not isinstance(value, str) or not _UNSEEN.search(value):
        return value
    return type(value)(_UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), value))
