"""One page that classifies by itself: runtime, model and decoder in a file of HTML, which asks nothing of any network.

The file is UTF-16, in which every 15 bits of the compressed parts are one character of two bytes: 1.07 times their size, where
base64 would take 1.33. A byte order mark, before which no server's word counts, says so.
"""

import base64
import codecs
import gzip
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.types import ExportFormat
from pipeline.evaluation.conformal import SetRule
from pipeline.evaluation.ranking import Refusal
from pipeline.export.contract import ExportContract
from pipeline.export.web_runtime import NAME, WebRuntime
from pipeline.training.scores import DIGITS

_TEMPLATES = Path(__file__).parent / "templates"
_FIRST = 0x0800  # the character of fifteen zeros: it and the 32,767 behind it are neither markup, control nor surrogate
_BITS = 15
_SCORES = {"distance": "distance from the classes", "confidence": "uncertainty", "": "score"}


def make_facts(
    contract: ExportContract, rule: SetRule, refusal: Refusal | None, *, min_side: int, max_megapixels: float
) -> dict[str, Any]:
    """What the page's script needs to answer as predict does. limit: None where nothing is refused."""
    limit = None if refusal is None or not np.isfinite(refusal.limit) else refusal.limit
    return {
        "labels": contract.class_names,
        "size": contract.image_size,
        "resize": contract.resize,
        "temperature": contract.temperature,
        "coverage": rule.coverage,
        "threshold": rule.threshold - 10**-DIGITS / 2,  # as `make_sets`
        "score": "" if refusal is None else refusal.score,
        "limit": limit,
        "minSide": min_side,
        "maxMegapixels": max_megapixels,
    }


def make_try_page(
    contract: ExportContract, facts: dict[str, Any], name: ExportFormat, model: bytes, runtime: WebRuntime
) -> bytes:
    """The page, UTF-16; the same bytes for the same parts. facts: of `make_facts`. model: an ONNX file, as `name` has it."""
    own = _read("page.js").replace("{{facts}}", _escape_script(facts))
    script, style = f'"use strict";\n{_read("pixels.js")}\n{own}', _read("try.css")
    parts = {"script": runtime.script, "runtime": runtime.runtime, "model": model}
    values = {
        "policy": _make_policy(script, style),
        "style": style,
        "family": html.escape(contract.family),
        "classes": str(len(contract.class_names)),
        "labels": html.escape(", ".join(contract.class_names)),
        "coverage": f"{100 * facts['coverage']:g} %",
        "score": _SCORES[facts["score"]],
        "digest": contract.model_sha256,
        "format": name,
        "runtime": NAME,
        "licence": html.escape(_read("onnxruntime_licence.txt").strip()),
        "parts": "".join(_make_part(key, content) for key, content in parts.items()),
        "script": script,
    }
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _read("try.html"))
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le")


def encode_part(content: bytes) -> str:
    """15 bits per character, the first bits first; zeros fill up the last. Undone by `unpack` in the page's script."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    padded = np.pad(bits, (0, -len(bits) % _BITS)).reshape(-1, _BITS)
    values = np.packbits(np.pad(padded, ((0, 0), (1, 0))), axis=1).view(">u2")
    return (values.astype(np.uint16) + _FIRST).astype("<u2").tobytes().decode("utf-16-le")


def split_bytes(content: bytes) -> bytes:
    """Every other byte, then the others: of float16, exponents and last digits apart, which makes them 6 % smaller by gzip."""
    return content[::2] + content[1::2]


def _make_part(key: str, content: bytes) -> str:
    packed = gzip.compress(split_bytes(content) if key == "model" else content, 9, mtime=0)
    return f'<script type="text/plain" id="{key}" data-bytes="{len(packed)}">{encode_part(packed)}</script>\n'


def _make_policy(script: str, style: str) -> str:
    """A Content-Security-Policy: the page's own script and style, the runtime that it unpacks, pictures that are dropped."""
    return (
        f"default-src 'none'; script-src {_digest(script)} blob: 'wasm-unsafe-eval'; style-src {_digest(style)}; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _escape_script(content: Any) -> str:
    return json.dumps(content).replace("<", "\\u003c")
