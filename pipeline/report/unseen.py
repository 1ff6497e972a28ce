"""Characters in the user's names that can't be seen, shown as their numbers."""

import re
from typing import Any

# Control characters, which end the renderer of charts; those that turn the direction of all text behind them: one in a file
# name would reverse counts; blanks without width and soft hyphens, which make two names look alike; and what is no character
# in XML. Joiners stay: scripts and emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff]"
)


def show_unseen(text: str) -> str:
    """The text, of the same type, with `\\u202e` in place of such a character."""
    if not _UNSEEN.search(text):
        return text
    return type(text)(_UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text))


def show_unseen_within(content: Any) -> Any:
    """The same for every text in nested dicts and lists, keys too: what is equal stays equal."""
    if isinstance(content, str):
        return show_unseen(content)
    if isinstance(content, dict):
        return {show_unseen_within(key): show_unseen_within(value) for key, value in content.items()}
    return [show_unseen_within(value) for value in content] if isinstance(content, list) else content
