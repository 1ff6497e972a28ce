"""metrics/report.html: one file that needs nothing else, made of a template and what the tables say."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_FOLDER = Path(__file__).parent


def render_page(**content: Any) -> str:
    """The whole page. Every name in it is escaped; only charts, which are SVG of our own making, are not."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}\N{NO-BREAK SPACE}%"
    environment.filters["thousands"] = lambda value: f"{int(value):,}"
    return environment.get_template("page.html").render(**content) + "\n"
