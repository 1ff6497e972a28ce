import unicodedata

import pytest
from markupsafe import Markup

from pipeline.runtime.unseen import show_unseen, show_unseen_in_name, show_unseen_within


@pytest.mark.parametrize(
    ("sign", "shown"),
    [
        ("\x00", "\\x00"),
        ("\x07", "\\x07"),
        ("\x1b", "\\x1b"),
        ("\x85", "\\x85"),
        ("\u00ad", "\\xad"),
        ("\u200b", "\\u200b"),
        ("\u202e", "\\u202e"),
        ("\u2067", "\\u2067"),
        ("\udc80", "\\udc80"),
        ("\ufeff", "\\ufeff"),
        ("\ufffe", "\\ufffe"),
    ],
)
def test_what_can_not_be_seen_is_its_number(sign, shown):
    assert show_unseen(f"a{sign}b") == f"a{shown}b"


@pytest.mark.parametrize("text", ["", "Käfer 猫", "a\tb\nc", "نمی\u200cدانم", "👩\u200d🔬", "\\x07", "\ufffd"])
def test_other_text_stays_as_it_is(text):
    assert show_unseen(text) == text


def test_every_control_character_that_is_no_blank_is_shown():
    controls = {chr(code) for code in range(0x100) if unicodedata.category(chr(code)) == "Cc"} - {"\t", "\n"}
    assert not [sign for sign in controls if sign in show_unseen(sign)]


def test_what_is_safe_in_a_page_stays_so():
    assert isinstance(show_unseen(Markup("<b>\x07</b>")), Markup)


def test_texts_within_are_shown_too_and_equal_ones_stay_equal():
    content = {"a\x07": ["a\x07", 1, None, {"b": "\u202e"}], "c": 2.5}
    assert show_unseen_within(content) == {"a\\x07": ["a\\x07", 1, None, {"b": "\\u202e"}], "c": 2.5}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\x0ab"),
        ("a\tb", r"a\x09b"),
        ("a\x1bb", r"a\x1bb"),
        ("Käfer 猫", "Käfer 猫"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_a_name_is_one_line_and_one_cell(name, shown):
    assert show_unseen_in_name(name) == shown
    assert show_unseen_in_name(shown) == shown
