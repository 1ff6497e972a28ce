"""The pages of the server. They need nothing else, and a browser fetches nothing for them but answers."""

import base64
import hashlib
import html
import json
from pathlib import Path
from typing import Any

from pipeline.serving.admission import Limits
from pipeline.serving.served import Served

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_FILES = 16  # in a request of the page, so that answers are seen as they come


def make_page(served: Served, coverage: float, limits: Limits) -> str:
    """The page on which pictures are dropped. Every name in it is escaped. limits: what it may send at a time."""
    facts = {
        "coverage": coverage,
        "classes": len(served.contract.class_names),
        "files": min(limits.max_files, _MOST_FILES),
        "bytes": limits.max_bytes,
    }
    return _fill("page.html", family=html.escape(served.contract.family), facts=_escape_script(facts))


def make_docs(schema: dict[str, Any]) -> str:
    """What each address does, from the OpenAPI description."""
    rows = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(entry.get('summary', ''))}.<br><small>{html.escape(entry.get('description', ''))}</small></td></tr>"
        for path, methods in schema["paths"].items()
        for method, entry in methods.items()
    ]
    return _fill("docs.html", rows="\n".join(rows))


def make_policy(page: str) -> str:
    """A Content-Security-Policy: the page's own script and style, answers from this server, pictures that the user drops."""
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _fill(name: str, **values: str) -> str:
    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _escape_script(content: Any) -> str:
    return json.dumps(content).replace("<", "\\u003c")
