"""Addresses on the network, and the secrets that people write into them."""

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

# user:password@ after the scheme; the password may hold a slash. host:8080/@name is none.
_LOGIN = re.compile(r"(?i)^(https?://)[^/?#@:]*:(?!\d{1,5}(?:[/?#]|$))[^@]*@(?:[^/?#@]*@)*")
_USER = re.compile(r"(?i)^(https?://)[^/?#]*@")
# Names of what opens a door, alone or with a prefix: ?token=, &X-Amz-Signature=, Azure's sig.
_SECRET = re.compile(
    r"(?i)[?&;](?:[\w.-]*[_.-]|access|api|auth|id|refresh|secret|session|sas)?"
    r"(token|key|sig|signature|password|passwd|passphrase|pass|pwd|secret|auth|credential|credentials|jwt|bearer)="
)
# Before the @ alone: what no person is called, or begins as the tokens of GitHub, GitLab, Hugging Face, Slack and AWS do.
_TOKEN = re.compile(r"(?i)^https?://(?:gh[a-z]_|github_pat_|gl[a-z]+-|hf_|xox[a-z]-|akia|(?=[^/?#@:]{20}))[^/?#@:]*:?@")


def has_password(address: str) -> bool:
    """Whether an http(s) address contains a password."""
    return _LOGIN.match(address) is not None


def refuse_secrets(address: str) -> str:
    """The address; raises ValueError if it contains a password, a token before its @, or a token or signature in its
    query."""
    if has_password(address):
        raise ValueError(
            "an address without a password, which would reach dvc.lock, the run cache and git (take it out, and set "
            "IMAGE_PIPELINE_USER and IMAGE_PIPELINE_PASSWORD, or write it to ~/.netrc)"
        )
    if _TOKEN.match(address):
        raise ValueError(
            "an address without a token, which would reach dvc.lock, the run cache and git (take it out, and set "
            "IMAGE_PIPELINE_USER and IMAGE_PIPELINE_PASSWORD, or write it to ~/.netrc)"
        )
    if re.match(r"(?i)https?://", address) and (found := _SECRET.search(unquote(address))):
        raise ValueError(
            f"an address without a {found[1].lower()}, which would reach dvc.lock, the run cache and git (take it out, and set "
            "IMAGE_PIPELINE_QUERY to what stands behind the question mark)"
        )
    return address


Place = Annotated[str, AfterValidator(refuse_secrets)]  # a path or an address in params.yaml


def show_address(address: str) -> str:
    """An address for messages: without user, password and query, which may be secrets."""
    shown = _USER.sub(r"\1", _LOGIN.sub(r"\1", address))
    return re.sub(r"[?#].*", "?…", shown, flags=re.DOTALL) if "?" in shown else shown
