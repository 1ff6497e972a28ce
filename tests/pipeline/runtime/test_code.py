import textwrap
from pathlib import Path

import pytest

from pipeline.runtime.code import CodeTree, compute_module_digest
from pipeline.runtime.errors import PipelineError
from tests.clone import PROJECT

SOURCE = '''
"""What the module is for."""

import math


class Circle:
    """Round."""

    def area(self, radius):
        """In square metres."""
        label = f"{radius:.2f} m, {f'{radius:{4}}'}" if radius else f'{{0}} wide'
        return math.pi * radius**2, label
'''


def digest(source: str, *registries: str) -> str:
    return compute_module_digest(textwrap.dedent(source), registries)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import math\n", "import math  # for pi\n"),
        ("import math\n", "# for pi\nimport math\n"),
        ('"""What the module is for."""', '"""Something else, at\n\ngreat length."""'),
        ('    """Round."""\n', ""),
        ('"""In square metres."""', "'In square kilometres'"),
        ("\n\n\nclass", "\n\nclass"),
        ("radius**2", "radius ** 2"),
        ("return math.pi * radius**2, label", "return math.pi * \\\n            radius**2, label"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(old, new):
    assert SOURCE.count(old) == 1
    assert digest(SOURCE.replace(old, new)) == digest(SOURCE)


def test_the_depth_of_an_indentation_does_not_count_but_where_it_ends_does():
    assert digest("if a:\n  b()\n  c()\n") == digest("if a:\n        b()\n        c()\n")
    assert digest("if a:\n  b()\n  c()\n") != digest("if a:\n  b()\nc()\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("radius**2", "radius**3"),
        ("import math", "import cmath"),
        ("def area", "def size"),
        (":.2f", ":.3f"),
        (" wide'", " broad'"),
        ("{4}", "{5}"),
        ("{{0}}", "{{1}}"),
        ("self, radius", "self, radius, /"),
    ],
)
def test_whatever_runs_counts(old, new):
    assert SOURCE.count(old) == 1
    assert digest(SOURCE.replace(old, new)) != digest(SOURCE)


def test_a_string_that_is_no_docstring_counts():
    assert digest('x = """a"""\n') != digest('x = """b"""\n')
    assert digest('def f():\n    g()\n    "a"\n') != digest('def f():\n    g()\n    "b"\n')


def test_a_line_with_umlauts_before_a_docstring_is_cut_in_the_right_place():
    source = 'class Ä: "größe"; x = "ß"\n'
    assert digest(source) == digest(source.replace("größe", "g"))
    assert digest(source) != digest(source.replace('"ß"', '"s"'))


def test_digests_are_the_same_under_every_version_of_python():
    """An f-string is one token before Python 3.12 and many after: this digest was computed by 3.11."""
    assert digest(SOURCE) == "ca1a3bfcd12c98afb7cf8bdce68b38cc"


REGISTRY = """
from typing import Any

THINGS: dict[str, Any] = {
    "one": (1, "a"),
}


def count():
    return len(THINGS)
"""


def test_entries_of_a_registry_do_not_count_where_it_is_named_as_one():
    more = REGISTRY.replace('    "one"', '    "two": (2, "b"),\n    "one"')
    assert digest(more, "THINGS") == digest(REGISTRY, "THINGS")
    assert digest(more) != digest(REGISTRY)


def test_what_is_around_a_registry_counts():
    assert digest(REGISTRY.replace("len(THINGS)", "len(THINGS) + 1"), "THINGS") != digest(REGISTRY, "THINGS")


@pytest.fixture(scope="module")
def tree() -> CodeTree:
    return CodeTree(PROJECT, PROJECT / "pipeline" / "report" / "templates")


def test_a_closure_holds_what_a_module_imports_directly_or_not_also_within_functions(tree):
    closure = tree.find_closure(["stages.train"])
    assert {"stages.train", "pipeline.training.schedules", "pipeline.training.svm", "pipeline.data.batches"} <= closure


def test_a_closure_holds_the_packages_in_which_modules_are(tree):
    assert {"stages", "pipeline", "pipeline.data", "pipeline.data.splits"} <= tree.find_closure(["stages.split"])


def test_a_closure_leaves_out_what_is_not_imported(tree):
    closure = tree.find_closure(["stages.split"])
    assert not {name for name in closure if name.startswith(("pipeline.training", "pipeline.report", "stages.train"))}


def test_a_closure_leaves_out_what_only_type_checkers_import(tree):
    assert "pipeline.config.sections" not in tree.find_closure(["pipeline.sources.formats"])


def test_templates_are_those_that_modules_render_and_those_that_these_extend(tree):
    assert tree.find_templates(["stages.average"]) == {"crossval.html", "base.html"} | _included_by_base()
    assert tree.find_templates(["stages.split"]) == set()


def _included_by_base() -> set[str]:
    base = (PROJECT / "pipeline/report/templates/base.html").read_text()
    return {file.name for file in (PROJECT / "pipeline/report/templates").iterdir() if f'include "{file.name}"' in base}


def test_every_module_of_the_project_can_be_digested(tree):
    for package in ("pipeline", "stages"):
        for file in (PROJECT / package).rglob("*.py"):
            name = ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
            assert len(compute_module_digest(tree.read(name))) == 32, Path(file)


def test_a_module_that_is_not_there_is_refused_with_what_git_does_not_know(tree):
    with pytest.raises(PipelineError, match=r"^there is no module pipeline.models.mine, .*`git add` it"):
        tree.find_closure(["pipeline.models.mine"])
