"""What was decided about the folders of a source, and the two kinds of questions that only a person can answer."""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.overrides import write_setting
from pipeline.sources.reading import list_names
from pipeline.sources.tree import Folder

IGNORED = "data.splits says ignore"  # why something is left out
_PLAIN = re.compile(r"(?!(?i:true|false|null|nan|inf|infinity)$)[A-Za-z](?:[A-Za-z0-9_./ +@%-]*[A-Za-z0-9_./+@%-])?")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_./ +@%*?-]")
_PATTERN = re.compile(r"(?!(?i:true|false|null)$)[A-Za-z][A-Za-z0-9_./ +@%*?-]*[A-Za-z0-9_./+@%*?-]")
_BARE_PATTERN = re.compile(r"[A-Za-z*?][A-Za-z0-9_./+@%-]*[*?][A-Za-z0-9_./+@%*?-]*|[*?][A-Za-z0-9_./+@%*?-]*")
_NUMBER = re.compile(r"(?i)[\d._]+(?:e[-+]?\d+)?|0[xob][\da-f_]+")


@dataclass
class Decision:
    """Filled in while the tree is read, from the top down; all keys are paths of folders.

    where: the source, for messages. classes: the name of the class that a folder with all below it is. splits: train, val or
    test, of a folder and all below it. ignored: why a folder is left out. by_file: classes are in the names of files.
    is_settled: the user has said what the folders are, so that nothing is asked.
    """

    where: str
    is_settled: bool = False
    classes: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    by_file: bool = False
    wrappers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        self.warnings.append(f"{self.where}: {text}")

    def ignore(self, folders: Iterable[Folder], reason: str) -> None:
        self.ignored |= {folder.path: reason for folder in folders}

    def take_classes(self, folder: Folder) -> None:
        """Each folder in `folder` that has pictures becomes a class."""
        self.classes |= {child.path: child.name for child in folder.filled}

    def ask(self, text: str) -> None:
        """Stops with a line that shows both readings and the parameters that choose. Where the user has chosen, a warning."""
        if not self.is_settled:
            raise PipelineError(f"{self.where} can be read in two ways: {text}")
        self.warn(f"could also be read another way: {text}")

    def place(self, folder: str) -> tuple[str, str, str]:
        """(class, split, reason to leave out) of the files in a folder, each may be empty."""
        label = split = ""
        path = ""
        for name in folder.split("/") if folder else []:
            path = f"{path}/{name}" if path else name
            if reason := self.ignored.get(path):
                return "", "", reason
            label = self.classes.get(path, label)
            split = self.splits.get(path, split)
        return label, split, ""


def quote(folders: Iterable[Folder | str]) -> str:
    """Names of folders, as a message shows them."""
    return list_names([folder if isinstance(folder, str) else folder.name for folder in folders])


def suggest_map(names: Iterable[str], value: str) -> str:
    """`data.splits={a: ignore}`, as both `-S` and params.yaml take it. `-S` has no quotes around keys: brackets and the like
    become `?`, which any one character fits; names that can't be written so are quoted, for params.yaml only."""
    return f"data.splits={{{', '.join(f'{_write_pattern(name)}: {value}' for name in names)}}}"


def _write_pattern(name: str) -> str:
    if is_plain(name) or (name.isdecimal() and name.isascii() and name[0] != "0"):
        return name
    if name[0].isdigit() and is_plain(f"a{name}") and not _NUMBER.fullmatch(name):
        return name
    pattern = _NOT_PLAIN.sub("?", name) if name.isascii() else name
    return pattern if _PATTERN.fullmatch(pattern) else write_name(name)


def is_plain(name: str) -> bool:
    """Whether a name needs no quotes, neither after `-S` nor in params.yaml."""
    return bool(_PLAIN.fullmatch(name))


def write_value(name: str) -> str:
    """A name as a value by itself after `-S parameter=`: what is typed into a shell, with quotes for Hydra inside quotes for
    the shell where it needs them, see `quote_setting`."""
    if not name.isprintable():
        return json.dumps(name)  # nobody can type it, but it stays one line
    is_bare = is_plain(name) or _BARE_PATTERN.fullmatch(name)
    return shlex.quote(name if is_bare else write_setting("", name).removeprefix("="))


def write_name(name: str) -> str:
    """A name inside a map or a list of `-S` or of params.yaml, in quotes where it needs them: double ones, as the shell's
    single ones are around the whole."""
    return name if is_plain(name) else json.dumps(name, ensure_ascii=not name.isprintable())
