"""Pages that need nothing else, made of a template and what the tables say."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **content: Any) -> str:
    """A whole page, of report.html or another template beside this file.

    Every name in it is escaped; only charts, which are SVG of our own making, are not.
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
    )
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"
    environment.filters["figure"] = lambda value: "not defined" if value is None else f"{value:.3f}"
    environment.filters["pvalue"] = lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}"
    environment.filters["thousands"] = lambda value: f"{int(value):,}"
    return environment
