"""Answers over HTTP what predict answers: python -m stages.serve [--family NAME|--folder DIR] [--host 127.0.0.1] [--port 8000].

Serves the ONNX file of an exported family, by default of the one that the report recommends, without TensorFlow: a page at /,
POST /predict, the Open Inference Protocol at /v2, /metrics, /docs. A new file is taken over without a restart. It is open to
whoever reaches the address; limits are in the section serve of params.yaml. Needs the extra `serve`.
"""

import argparse
import sys
from pathlib import Path

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.runtime.cli import configure, make_parser, report_errors
from pipeline.serving.running import bind, check_packages, run


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status, when the server has ended."""
    parser = make_parser("serve", __doc__)
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--family", help="an exported family; by default, the one that the report recommends")
    models.add_argument(
        "--folder", type=Path, metavar="DIR", help="of exported files from anywhere; needs no data/ or models/"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: this machine only); 0.0.0.0: all"
    )
    parser.add_argument("--port", type=int, default=8000, help="default 8000; 0 = any that is free")
    chosen = configure(parser.parse_args(arguments))
    return report_errors(lambda: serve(chosen))


def serve(chosen: argparse.Namespace) -> None:
    params = load_params()
    check_packages(params)
    if chosen.family is not None:
        check_family(chosen.family, parameter="--family")
    from pipeline.serving.served import find_folder  # imports NumPy

    folder = chosen.folder or find_folder(chosen.family)
    with bind(chosen.host, chosen.port) as listening:
        run(folder, params, listening)


if __name__ == "__main__":
    sys.exit(main())
