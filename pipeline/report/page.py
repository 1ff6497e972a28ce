"""Pages that need no other file, made from a template and what the sections say."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pipeline.runtime.files import write_aside
from pipeline.runtime.unseen import show_unseen

_TEMPLATES = Path(__file__).parent / "templates"
_SPACE = "\N{NO-BREAK SPACE}"
_WIDE, _LONG = (
    520,
    700,
)  # pixels of a chart: on a phone it takes the margins too; it is scrolled, or it would be unreadable


def render_page(template: str, **content: Any) -> str:
    """A complete page from report.html or another template in templates/.

    Every name in it is escaped; only charts, which are SVG of our own making, are not. Characters that can't be seen are
    shown as their numbers.
    """
    return _open_templates().get_template(template).render(**content) + "\n"


def save_page(file: Path, text: str) -> None:
    """Writes a page, complete or not at all."""
    with write_aside(file) as partial:
        partial.write_text(text, encoding="utf-8")


def make_policy(script: str, images: str = "data:") -> str:
    """A Content-Security-Policy for a page's meta element: a browser runs this script, what `run.js` beside the page holds, and
    nothing else, whatever a name in the page says; no text becomes code, and nothing is fetched from elsewhere.

    script: the text between the tags of the page's script; empty: there is none. images: where they may come from.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"'self' file: 'sha256-{digest}'" if script else "'none'"
    rest = f"style-src 'unsafe-inline'; img-src {images}; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {scripts}; {rest}"


@cache
def _open_templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: show_unseen(value) if isinstance(value, str) else value,
    )
    environment.globals["policy"] = make_policy
    environment.filters |= {
        "zip": zip,
        "chart": frame_chart,
        "columns": balance_columns,
        "percent": lambda value: "–" if value is None else f"{100 * value:.1f}{_SPACE}%",
        "points": lambda value: f"{100 * value:+.1f}{_SPACE}points".replace("-", "\N{MINUS SIGN}"),
        "metric": lambda value: "not defined" if value is None else f"{value:.3f}",
        "pvalue": lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
        "p_equals": lambda value: f"p{_SPACE}" + (f"<{_SPACE}0.001" if value < 0.001 else f"={_SPACE}{value:.3f}"),
        "thousands": lambda value: f"{int(value):,}",
    }
    return environment


def frame_chart(svg: str, *, in_parts: bool = False) -> Markup:
    """A chart in its frame, which knows how wide it is. in_parts: it says something where only a part of it is seen."""
    found = re.match(r'<svg[^>]* width="([0-9.]+)"', svg)
    width = float(found[1]) if found else 0
    size = " long" if width >= (_WIDE if in_parts else _LONG) else " wide" if width >= _WIDE else ""
    return Markup(f'<div class="chart{size}">{svg}</div>')  # noqa: S704 - of our own making


def balance_columns(count: int, most: int) -> int:
    """In how many columns `count` pictures stand, at most `most`, so that rows are about as long as each other and, where that
    is possible with two columns or more, none of them holds a single picture."""
    if count <= most:
        return max(count, 1)
    even = -(-count // -(-count // most))
    return next((columns for columns in range(even, 1, -1) if count % columns != 1), even)
