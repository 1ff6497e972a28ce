"""Commands that can be pasted into a shell."""

import re
import shlex
from typing import Any

from pipeline.runtime.errors import PipelineError

# What neither the shell nor Hydra's grammar, which `dvc exp run -S` follows, reads otherwise.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._+:-]*")


def quote_setting(name: str, value: str) -> str:
    """`-S name=value`, with quotes for Hydra inside quotes for the shell where the value needs them."""
    if _PLAIN.fullmatch(value) and value.lower() not in ("null", "true", "false", "nan", "inf"):
        return f"-S {name}={value}"
    from hydra.core.override_parser.types import Quote, QuotedString  # a third of a second

    # `${` would begin a reference to another parameter.
    quoted = QuotedString(text=value.replace("${", "\\${"), quote=Quote.double).with_quotes()
    return f"-S {shlex.quote(f'{name}={quoted}')}"


def parse_setting(text: str) -> tuple[str, Any]:
    """Name and value of `name=value`, read as `dvc exp run -S` reads it. Raises PipelineError for what it would refuse."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise PipelineError(f"-S {text!r} can't be read: expected NAME=VALUE, as `dvc exp run -S` takes it") from error
    if parsed.is_delete() or parsed.is_sweep_override():
        raise PipelineError(f"-S {text!r}: expected one value of one parameter")
    return parsed.key_or_group, parsed.value()


def write_command(place: dict[str, str], settings: list[str]) -> str:
    """How to run on a folder or an archive. place: `choose_source`. settings: as `parse_setting` takes them."""
    given = [quote_setting(name, value) for name, value in place.items()]
    return " ".join(["dvc exp run", *given, *(f"-S {shlex.quote(text)}" for text in settings)])
