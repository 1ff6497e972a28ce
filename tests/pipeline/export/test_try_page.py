import base64
import codecs
import gzip
import hashlib
import json
import re

import numpy as np
import pytest

from pipeline.evaluation.conformal import SetRule
from pipeline.evaluation.ranking import Refusal
from pipeline.export.try_page import encode_part, make_facts, make_try_page, split_bytes
from pipeline.export.web_runtime import WebRuntime
from tests.pipeline.export.contracts import make_contract

EVIL = "</script><img src=x onerror=alert(1)>{{policy}}"
RUNTIME = WebRuntime(b"export const nothing = 0;", b"\0asm")
LIMITS = {"min_side": 8, "max_megapixels": 50.0}


def make_page(**changes) -> str:
    contract = make_contract(**changes)
    facts = make_facts(contract, SetRule(0.95, 0.25), Refusal("distance", 2.5), **LIMITS)
    content = make_try_page(contract, facts, "onnx_float16", b"model", RUNTIME)
    assert content.startswith(codecs.BOM_UTF16_LE)
    return content.decode("utf-16")


def decode_part(text: str, count: int) -> bytes:
    """As the page's script does it."""
    bits = "".join(f"{ord(character) - 0x800:015b}" for character in text)
    return int(bits[: 8 * count] or "0", 2).to_bytes(count, "big")


@pytest.mark.parametrize("count", [0, 1, 2, 14, 15, 16, 1000])
def test_every_byte_comes_back_from_characters_of_fifteen_bits(count):
    content = np.random.default_rng(count).bytes(count)
    text = encode_part(content)
    assert decode_part(text, count) == content
    assert len(text) == -(-8 * count // 15)


def test_no_character_is_markup_or_half_of_a_pair():
    every = np.arange(1 << 15, dtype=">u2")
    bits = np.unpackbits(every.view(np.uint8)).reshape(-1, 16)[:, 1:]
    text = encode_part(np.packbits(bits).tobytes())
    assert {ord(character) for character in text} == set(range(0x800, 0x8800))


def test_bytes_are_split_into_even_and_odd_ones():
    assert split_bytes(b"abcde") == b"acebd"


def test_the_page_holds_runtime_and_model():
    parts = re.findall(r'<script type="text/plain" id="(\w+)" data-bytes="(\d+)">(.*?)</script>', make_page())
    unpacked = {name: gzip.decompress(decode_part(text, int(count))) for name, count, text in parts}
    assert unpacked == {"script": RUNTIME.script, "runtime": RUNTIME.runtime, "model": split_bytes(b"model")}


def test_the_policy_lets_nothing_run_but_the_pages_own_script():
    page = make_page()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    [script] = re.findall(r"(?s)<script>(.*?)</script>", page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}' blob: 'wasm-unsafe-eval'"
    assert "connect-src" not in rules


def test_the_page_asks_nothing_of_any_network():
    page = make_page()
    assert not re.findall(r"https?://|\bfetch\(|XMLHttpRequest|\bsrc=", page)


def test_names_of_classes_are_only_text():
    page = make_page(class_names=["red", EVIL, "blue"])
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;img" in page
    assert page.count("default-src 'none'") == 1  # what looks like a place to fill in stays a name


def test_the_same_parts_give_the_same_page():
    assert make_page() == make_page()


def test_facts_are_what_predict_goes_by():
    contract = make_contract(image_size=48, resize="crop")
    facts = make_facts(contract, SetRule(0.9, 0.25), Refusal("confidence", float("inf")), **LIMITS)
    assert facts["limit"] is None  # too few validation images: nothing is refused
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["size"], facts["resize"], facts["temperature"]) == (48, "crop", 1.5)
    assert facts["threshold"] == pytest.approx(0.25, abs=1e-6)
    assert make_facts(contract, SetRule(0.9, 0.25), None, **LIMITS)["limit"] is None
