"""Arguments of DVC: how `dvc exp run -S` takes a value, in Hydra's grammar inside what the shell takes; and targets."""

import os
import re
import shlex
from pathlib import Path

# What neither the shell nor Hydra's grammar, which `dvc exp run -S` follows, reads otherwise.
_MAP = re.compile(r"(-S|--set-param=)?(?P<setting>[A-Za-z_][\w.]*=\{.*)", re.DOTALL)
_QUOTES = "'\""
_QUOTED_KEY = re.compile(r"""(?<=[{,\s])(["'])([A-Za-z0-9_./ -]+)\1\s*:""")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._+:-]*")


def quote_setting(name: str, value: str) -> str:
    """`-S name=value`, with quotes for Hydra inside quotes for the shell where the value needs them."""
    return f"-S {shlex.quote(write_setting(name, value))}"


def write_setting(name: str, value: str) -> str:
    """name=value, with quotes for Hydra where the value needs them."""
    if _PLAIN.fullmatch(value) and value.lower() not in ("null", "true", "false", "nan", "inf"):
        return f"{name}={value}"
    from hydra.core.override_parser.types import Quote, QuotedString  # a third of a second

    # `${` would begin a reference to another parameter.
    return f"{name}={QuotedString(text=value.replace('${', chr(92) + '${'), quote=Quote.double).with_quotes()}"


def open_maps(arguments: list[str]) -> list[str]:
    """A command line on which -S may set a map with keys that params.yaml does not list, as data.splits={photos: train}: Hydra
    wants two pluses for that, and no quotes around keys. What a map must not have is refused by the check of params.yaml."""
    opened = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        found = _MAP.fullmatch(argument)
        is_setting = found is not None and bool(found[1]) != (before in ("-S", "--set-param"))
        setting = _QUOTED_KEY.sub(r"\2:", found["setting"]) if found else ""
        opened.append(f"{found[1] or ''}++{setting}" if found and is_setting else argument)
    return opened


def rebase(text: str, project: Path) -> str:
    """A target such as ../dvc.yaml:train as it is called in the project's folder; anything else as it is."""
    name, colon, stage = text.partition(":")
    if text.startswith("-") or "/" not in name or not Path(name).exists():
        return text
    return os.path.relpath(name, project) + colon + stage


def explain_grammar(overrides: list[str]) -> str:
    """In one line, which of the values -S can't read, and how it is written."""
    from dvc.utils.hydra import to_hydra_overrides

    def is_read(override: str) -> bool:
        try:
            return bool(to_hydra_overrides([override]))
        except Exception:  # Hydra's parser raises whatever type its generator does
            return False

    wrong = next((override for override in overrides if not is_read(override)), " ".join(overrides))
    name, _, value = wrong.partition("=")
    if value.startswith("{"):
        return (
            f"-S {wrong}: DVC can't read the map: expected keys of letters, digits, blanks and . - _ / without quotes, as "
            "{cat: 5, sea ice: 7}, and text with other characters in quotes as values only; write others into params.yaml"
        )
    return (
        f"-S {wrong}: DVC can't read the value: expected letters, digits, / . - and _, or text in double quotes inside the "
        f"shell's single quotes: {quote_setting(name, value.strip(_QUOTES))}"
    )
