"""Commands that can be pasted into a shell."""

import shlex
from typing import Any

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.overrides import quote_setting


def parse_setting(text: str) -> tuple[str, Any]:
    """Name and value of `name=value`, read as `dvc exp run -S` reads it; +name where the key may be new. Raises PipelineError
    for what it would refuse."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise PipelineError(f"-S {text!r} can't be read: expected NAME=VALUE, as `dvc exp run -S` takes it") from error
    if parsed.is_delete() or parsed.is_sweep_override():
        raise PipelineError(f"-S {text!r}: expected one value of one parameter")
    plus = "+" if parsed.is_add() or parsed.is_force_add() else ""
    return f"{plus}{parsed.key_or_group}", parsed.value()


def write_command(place: dict[str, str], settings: list[str]) -> str:
    """How to run on a folder or an archive. place: `choose_source`. settings: as `parse_setting` takes them."""
    given = [quote_setting(name, value) for name, value in place.items()]
    return " ".join(["dvc exp run", *given, *(f"-S {shlex.quote(text)}" for text in settings)])
