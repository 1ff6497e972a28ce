"""What is wrong in params.yaml, in one line."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.runtime.logins import hide_logins

# Where a value may be null, or one of several types, pydantic adds the alternative that it tried; users know parameters only.
_ALTERNATIVE = re.compile(r"[\[(]|^(int|float|str|bool|list|dict)$")
_NO_SECTION = ("dict_type", "model_attributes_type", "model_type")
_UNKNOWN = ("extra_forbidden", "invalid_key")  # the latter: a number, say


def suggest(unknown: str, names: Iterable[str]) -> str:
    """The valid name that is nearest to an unknown one; all of them if none is near."""
    valid = list(names)
    near = difflib.get_close_matches(unknown, valid, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(valid)}"


def explain(error: ValidationError, content: Any, section: str = "") -> str:
    """One fault, as 'train.epochs: expected …, received …', and how many more there are.

    content: what was checked. section: its name in params.yaml; empty: all of it. Unknown keys come first: a misspelt key
    makes another one missing, but is itself what has to be corrected.
    """
    faults = error.errors(include_url=False)
    fault = next((fault for fault in faults if fault["type"] in _UNKNOWN), faults[0])
    path = _name_path(fault)
    name = ".".join([section, *path] if section else path)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] in _UNKNOWN:
        return f"{name} is unknown: {_suggest_beside(path, faults, content)}{more}"
    if fault["type"] == "missing":
        return f"{name} is missing: params.yaml must have it{more}"
    message = re.sub(
        r"^(Input|Value|List|String) should (be |have )?|^Value error, | after validation.*", "", fault["msg"]
    )
    expected = "a mapping" if fault["type"] in _NO_SECTION else message
    if path[-1:] == ["augment"] and expected == "a mapping":
        expected += ", or none"
    if fault["type"] == "list_type":
        expected = f"a list in brackets, such as {_make_list(fault['input'])}"
    return f"{name}: expected {expected}, received {hide_logins(repr(fault['input']))}{more}"


def _make_list(value: Any) -> str:
    return f"[{value}]" if isinstance(value, str | int | float) else "[a, b]"


def _name_path(fault: ErrorDetails) -> list[str]:
    path = [str(part) for part in fault["loc"]]
    return path if fault["type"] in _UNKNOWN else [part for part in path if not _ALTERNATIVE.search(part)]


def _suggest_beside(path: list[str], faults: list[ErrorDetails], content: Any) -> str:
    *parents, unknown = path
    for part in parents:
        content = content[part]
    beside = [(_name_path(fault), fault["type"]) for fault in faults]
    wrong = [name for (*section, name), kind in beside if section == parents and kind in _UNKNOWN]
    missing = [name for (*section, name), kind in beside if section == parents and kind == "missing"]
    return suggest(unknown, [str(name) for name in content if str(name) not in wrong] + missing)
