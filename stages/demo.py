"""Writes metrics/try.html, one page that classifies by itself: python -m stages.demo [FAMILY] [--to FILE.html].

It works without a network, and no picture leaves the device. The family has to be exported first, as onnx_float16 or onnx: see
export.formats in params.yaml. The runtime is a pinned package of npm, downloaded once; --runtime names its file elsewhere.
"""

import argparse
import json
import sys
from pathlib import Path

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.config.types import ExportFormat
from pipeline.evaluation.ranking import load_refusal, load_rules
from pipeline.export.contract import load_export_contract
from pipeline.export.formats import FORMATS
from pipeline.export.parity_table import load_parity
from pipeline.export.try_page import make_facts, make_try_page
from pipeline.export.web_runtime import load_web_runtime
from pipeline.runtime.cli import configure, file_to_write, make_parser, report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256, write_aside
from pipeline.runtime.paths import CHOSEN, EXPORTED, MODELS, TRY_PAGE

_FORMATS: tuple[ExportFormat, ...] = ("onnx_float16", "onnx")  # the smaller first


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("demo", __doc__)
    parser.add_argument("family", nargs="?", metavar="FAMILY", help="by default, the one that the report recommends")
    parser.add_argument("--to", type=file_to_write, default=TRY_PAGE, metavar="FILE", help=f"by default {TRY_PAGE}")
    parser.add_argument(
        "--runtime", type=Path, metavar="FILE", help="the .tgz of the runtime, if npm can't download it"
    )
    chosen = configure(parser.parse_args(arguments))
    return report_errors(lambda: demo(chosen))


def demo(chosen: argparse.Namespace) -> None:
    params, family = load_params(), chosen.family or choose()
    check_family(family, parameter="FAMILY")
    folder = EXPORTED / family
    name, file = find_model(family)
    contract, artifact = load_export_contract(folder), MODELS / f"{family}.keras"
    if artifact.exists() and compute_sha256(artifact) != contract.model_sha256:
        raise PipelineError(f"{folder} was made of another model than {artifact}: run `dvc repro export@{family}`")
    rule, prune = load_rules(contract, params.evaluate, file), params.prune
    refusal = load_refusal(contract, params.evaluate.false_alarms, file)
    facts = make_facts(contract, rule, refusal, min_side=prune.min_side, max_megapixels=prune.max_megapixels)
    page = make_try_page(contract, facts, name, file.read_bytes(), load_web_runtime(chosen.runtime))
    with write_aside(chosen.to) as partial:
        partial.write_bytes(page)
    print(f"{chosen.to}: {family} as {name}, {len(page) / 1e6:.1f} MB; open it in a browser")


def choose() -> str:
    """The family that the report recommends."""
    if not CHOSEN.exists():
        raise PipelineError(f"{CHOSEN} is not here: expected the family that the report recommends; name one")
    return str(json.loads(CHOSEN.read_text())["family"])


def find_model(family: str) -> tuple[ExportFormat, Path]:
    """The smallest of the files that the gate has kept and the runtime runs."""
    table = load_parity(family)
    kept = [] if table is None else list(table.loc[table["status"] == "kept", "format"])
    for name in _FORMATS:
        if name in kept:
            return name, EXPORTED / family / FORMATS[name].file
    raise PipelineError(
        f"{EXPORTED / family} has no ONNX file: expected an exported family; run `dvc exp run -S "
        f"'export.formats=[onnx_float16]' -S 'export.families=[{family}]'`"
    )


if __name__ == "__main__":
    sys.exit(main())
