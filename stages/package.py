"""Packs an exported family into one zip to give away: python -m stages.package FAMILY [--format onnx] [--to FILE.zip].

In it: the model in one format, labels.txt, contract.json, decode.py, predict.py, which needs two packages, and README.md, a
model card. The family has to be exported first: see export.formats in params.yaml.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_family
from pipeline.data.examination import load_examination
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.results import Results, load_results
from pipeline.evaluation.slices import measure_slices
from pipeline.export.card import Subject, make_card
from pipeline.export.contract import load_export_contract
from pipeline.export.facts import FACTS_FILE
from pipeline.export.packing import save_zip
from pipeline.export.parity_table import list_files, load_kept
from pipeline.export.predict_script import PREDICT_FILE, list_requirements, make_predict_script
from pipeline.runtime.cli import configure, file_to_write, make_parser, report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import EVALUATIONS, EXAMINATION, EXPORTED, TFRECORDS


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("package", __doc__)
    parser.add_argument("family", metavar="FAMILY", help="an exported family")
    parser.add_argument(
        "--format", help="one of export.formats; by default, the first that was kept, onnx before others"
    )
    parser.add_argument("--to", type=file_to_write, metavar="FILE", help="by default <family>.zip")
    chosen = configure(parser.parse_args(arguments))
    return report_errors(lambda: package(chosen))


def package(chosen: argparse.Namespace) -> None:
    check_family(chosen.family, parameter="FAMILY")
    folder, target = EXPORTED / chosen.family, chosen.to or Path(f"{chosen.family}.zip")
    if target.suffix != ".zip":
        raise PipelineError(f"--to: expected a name that ends in .zip, received {str(target)!r}")
    parity = load_kept(chosen.family, chosen.format)
    name = parity["format"].iloc[0]
    params, contract, results = load_params(), load_export_contract(folder), load_results(chosen.family)
    if results.metrics["model_sha256"] != contract.model_sha256:
        raise PipelineError(
            f"{folder} was made of another model than {EVALUATIONS / chosen.family} was measured on: run "
            f"`dvc repro export@{chosen.family}`"
        )
    facts = load_dataset_facts()
    if contract.data != facts.digest:
        raise PipelineError(
            f"{folder} was made and measured on other data than {TFRECORDS} has now: run `dvc repro export@{chosen.family}`"
        )
    backbone = resolve_family(params, chosen.family).backbone
    subject = Subject(
        contract=contract,
        facts=facts,
        results=results,
        parity=parity,
        versions=json.loads((folder / FACTS_FILE).read_text())["versions"],
        requirements=list_requirements(name),
        weights=(backbone.preset or backbone.weights) if backbone else None,
        slices=find_slices(results) if EXAMINATION.exists() else None,
    )
    texts = {"README.md": make_card(subject), PREDICT_FILE: make_predict_script(name)}
    save_zip(target, folder, list_files(folder, name), texts)
    print(f"{target}: {chosen.family} as {name}, {target.stat().st_size / 1e6:.1f} MB")


def find_slices(results: Results) -> pd.DataFrame:
    """The slices of its test images on which it is worse, as the report lists them."""
    return measure_slices(results.predictions, load_examination().images, results.look_alikes)[0]


if __name__ == "__main__":
    sys.exit(main())
