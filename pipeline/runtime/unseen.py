"""Characters in the user's names that can't be seen, shown as their numbers."""

import re
from typing import Any

# Control characters, which end the renderer of charts and move a terminal's cursor; those that turn the direction of all text
# behind them: one in a file name would reverse counts; blanks without width and soft hyphens, which make two names look alike;
# and what is no character in XML. Joiners stay: scripts and emoji need them.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff"
)
_IN_TEXT = re.compile(f"[{_UNSEEN}]")
_IN_NAMES = re.compile(f"[\t\n{_UNSEEN}]")


def show_unseen(text: str) -> str:
    """The text, of the same type, with `\\u202e` in place of such a character. Tabs and line feeds stay."""
    return type(text)(_IN_TEXT.sub(_number, text)) if _IN_TEXT.search(text) else text


def show_unseen_in_name(name: str) -> str:
    """The same for a name, which is one line and one cell of a table: tabs and line feeds are `\\x09` and `\\x0a`."""
    return _IN_NAMES.sub(_number, name)


def show_unseen_within(content: Any) -> Any:
    """`show_unseen` for every text in nested dicts and lists, keys too: what is equal stays equal."""
    if isinstance(content, str):
        return show_unseen(content)
    if isinstance(content, dict):
        return {show_unseen_within(key): show_unseen_within(value) for key, value in content.items()}
    return [show_unseen_within(value) for value in content] if isinstance(content, list) else content


def _number(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
