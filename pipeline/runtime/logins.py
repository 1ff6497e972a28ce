"""Addresses in messages, without the secrets that people write into them."""

import re

_ANY_QUERY = re.compile(r"(?i)(https?://[^\s'\"?]*)\?[^\s'\"]*")
_ANY_SECRET = re.compile(
    r"(?i)([?&;][\w.-]*(?:token|key|sig|signature|pass|passwd|password|pwd|secret|credentials?|auth|jwt|bearer)=)[^\s'\"&]+"
)
_ANY_LOGIN = re.compile(r"(?i)(https?://)[^\s'\"?]*@")


def hide_logins(text: str) -> str:
    """A text without what stands before the @ of the addresses in it, and behind their question marks."""
    return _ANY_SECRET.sub(r"\1…", _ANY_QUERY.sub(r"\1?…", _ANY_LOGIN.sub(r"\1…@", text)))
