"""What code a verb runs: the modules that it imports, directly or not, and a digest of each that only its meaning changes.

DVC does not follow imports (treeverse/dvc#1577). The import graph comes from grimp, which reads the code without running it.
"""

import ast
import hashlib
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import grimp
from jinja2 import Environment, meta

from pipeline.runtime.errors import PipelineError

PACKAGES = ("pipeline", "stages")
# Of these tokens only the kind counts: how deep an indentation is says nothing, where it ends does.
_STRUCTURE = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_IGNORED = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
# From Python 3.12 on an f-string is several tokens; before, it was one. It counts as one.
_FSTRING_START = getattr(tokenize, "FSTRING_START", None)
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)

_RENDERED = re.compile(r'render_page\(\s*"([^"]+)"')

Position = tuple[int, int]  # line from 1, character from 0


@dataclass(frozen=True)
class CodeTree:
    """The modules below `root`, which holds the packages `pipeline` and `stages`, and what they import.

    templates: a folder of Jinja templates; a module that says render_page("report.html", …) depends on that one.
    """

    root: Path
    templates: Path

    @cached_property
    def _graph(self) -> grimp.ImportGraph:
        # A cache of grimp's own would be one more folder in the project; it takes 20 ms to do without.
        return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)

    def find_closure(self, modules: Iterable[str]) -> set[str]:
        """These modules, all that they import, directly or not, and the packages that hold them, which Python runs first."""
        closure: set[str] = set()
        waiting = set(modules)
        while waiting:
            module = waiting.pop()
            if module not in closure:
                closure.add(module)
                waiting |= self._find_upstream(module)
                waiting |= {parent for parent in _list_parents(module) if parent in self._graph.modules}
        return closure

    def _find_upstream(self, module: str) -> set[str]:
        if module not in self._graph.modules:
            raise PipelineError(
                f"there is no module {module}, which pipeline/config/families.py names: expected its file here; if it is new, "
                "`git add` it, as DVC takes to experiments beside the workspace (--temp, --queue) only what git knows"
            )
        return self._graph.find_upstream_modules(module)

    def read(self, module: str) -> str:
        """A module's source."""
        file = self.root / f"{module.replace('.', '/')}.py"
        return (file if file.exists() else file.with_suffix("") / "__init__.py").read_text(encoding="utf-8")

    def find_templates(self, modules: Iterable[str]) -> set[str]:
        """File names of the templates that these modules render, and of those that these include or extend."""
        waiting = {name for module in modules for name in _RENDERED.findall(self.read(module))}
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            found.add(name)
            content = Environment(autoescape=True).parse((self.templates / name).read_text(encoding="utf-8"))
            waiting |= {str(other) for other in meta.find_referenced_templates(content)} - found
        return found


def _list_parents(module: str) -> Iterator[str]:
    while module := module.rpartition(".")[0]:
        yield module


@cache
def compute_module_digest(source: str, registries: tuple[str, ...] = ()) -> str:
    """What a module says, 32 hex digits: of its tokens, without comments, docstrings and layout.

    Tokens, as a dump of the syntax tree differs between versions of Python. registries: names of module-level dicts whose
    entries do not count: whoever uses one entry has its digest elsewhere. Kept, as most modules are in many closures.
    """
    digest = hashlib.blake2b(digest_size=16)
    skipped = list(_find_skipped(source, registries))
    for kind, text, start in _read_tokens(source):
        if not any(begin <= start < end for begin, end in skipped):
            digest.update(f"{kind}:{text}\n".encode())
    return digest.hexdigest()


def _find_skipped(source: str, registries: tuple[str, ...]) -> Iterator[tuple[Position, Position]]:
    """Where docstrings and the contents of registries begin and end."""
    tree = ast.parse(source)
    lines = source.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                begin, end = _locate(first, lines)
                is_alone = not lines[end[0] - 1][end[1] :].lstrip().startswith(";")
                yield begin, (end[0] + 1, 0) if is_alone else end  # with the end of its line
    for statement in tree.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.value, ast.Dict):
            continue
        if isinstance(statement.target, ast.Name) and statement.target.id in registries:
            yield _locate(statement.value, lines)


def _locate(node: ast.expr | ast.stmt, lines: list[str]) -> tuple[Position, Position]:
    """ast counts bytes within a line, tokenize characters."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None

    def count(line: int, offset: int) -> Position:
        return line, len(lines[line - 1].encode()[:offset].decode())

    return count(node.lineno, node.col_offset), count(node.end_lineno, node.end_col_offset)


def _read_tokens(source: str) -> Iterator[tuple[str, str, Position]]:
    """(kind, text, start) of every token that means something; f-strings whole, as they are written."""
    lines = source.splitlines(keepends=True)
    depth, begin = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == _FSTRING_START:
            depth, begin = depth + 1, begin if depth else token.start
        elif token.type == _FSTRING_END and depth == 1:
            depth = 0
            yield "STRING", _cut(lines, begin, token.end), begin
        elif token.type == _FSTRING_END:
            depth -= 1
        elif depth or token.type in _IGNORED:
            continue
        else:
            kind = tokenize.tok_name[token.type]
            yield kind, "" if token.type in _STRUCTURE else token.string, token.start


def _cut(lines: list[str], begin: Position, end: Position) -> str:
    """The text between two positions."""
    if begin[0] == end[0]:
        return lines[begin[0] - 1][begin[1] : end[1]]
    between = lines[begin[0] : end[0] - 1]
    return "".join([lines[begin[0] - 1][begin[1] :], *between, lines[end[0] - 1][: end[1]]])
