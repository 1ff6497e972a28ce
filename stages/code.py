"""Notes what code each verb runs: data/code/<verb>.json, or data/code/<verb>/<name>.json where a source or family adds its own.

Every other stage depends on its file here: a comment, a docstring or a line break anywhere re-runs this stage and nothing else,
a change in one module the stages that import it, directly or not, and a new family that family alone.
"""

import hashlib
import json
import logging
from pathlib import Path

from pipeline.config.lazy_modules import REGISTRIES, Variant, find_family_variant, find_source_variant
from pipeline.config.reader import load_params
from pipeline.config.teachers import find_teacher
from pipeline.runtime.cli import run_verb
from pipeline.runtime.code import CodeTree, compute_module_digest
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import CODE

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "pipeline" / "report" / "templates"

logger = logging.getLogger(__name__)


def code() -> None:
    params = load_params()
    if params.data.source in params.families:
        raise PipelineError(
            f"a family and the source are both called {params.data.source!r}: expected different names; rename one of them"
        )
    tree, teachers = CodeTree(ROOT, TEMPLATES), {name: find_teacher(params.recipes[name]) for name in params.families}
    verbs = sorted(file.stem for file in (ROOT / "stages").glob("*.py") if file.stem != "__init__")
    with folder_aside(CODE) as folder:
        for verb in verbs:
            closure = tree.find_closure([f"stages.{verb}"])
            families = {name: find_family_variant(name, closure, teachers[name]) for name in params.families}
            sources = {params.data.source: find_source_variant(params.data.source, closure)}
            variants = {name: variant for name, variant in (families | sources).items() if variant is not None}
            for name, variant in variants.items():
                (folder / verb).mkdir(exist_ok=True)
                (folder / verb / f"{name}.json").write_text(describe(tree, closure, variant))
            if not variants:
                (folder / f"{verb}.json").write_text(describe(tree, closure, Variant(frozenset(), ())))
    logger.info("%d verbs, %d files of code", len(verbs), len(list(ROOT.glob("pipeline/**/*.py"))))


def describe(tree: CodeTree, closure: set[str], variant: Variant) -> str:
    """JSON: modules and templates to digests, and the variant's entries of registries."""
    modules = sorted(closure | tree.find_closure(variant.modules))
    content = {
        "modules": {name: compute_module_digest(tree.read(name), REGISTRIES.get(name, ())) for name in modules},
        "templates": {name: compute_digest(tree.templates / name) for name in sorted(tree.find_templates(modules))},
        "entries": list(variant.entries),
    }
    return json.dumps(content, indent=1) + "\n"


def compute_digest(file: Path) -> str:
    """Of a file's bytes, 32 hex digits."""
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


if __name__ == "__main__":
    run_verb(code, __doc__)
