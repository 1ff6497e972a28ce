"""A model file to exported files that are proven equal. Imports TensorFlow."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from pipeline.config.sections import Params
from pipeline.config.types import ExportFormat
from pipeline.data.tfrecords import DatasetFacts, list_shards
from pipeline.evaluation.familiarity_fit import make_answering
from pipeline.export.contract import ExportContract, save_contract
from pipeline.export.decode_script import DECODE_FILE, load_decode_script, make_decode_script
from pipeline.export.encoded_images import read_calibration, read_encoded
from pipeline.export.facts import ExportFacts, find_versions, save_facts
from pipeline.export.formats import FORMATS
from pipeline.export.gate import collect_answers, judge
from pipeline.export.graphs import save_litert, save_saved_model
from pipeline.export.onnx_files import save_half_onnx, save_onnx, save_openvino
from pipeline.export.operations import make_single_precision
from pipeline.export.parity import Parity
from pipeline.export.parity_table import save_parity
from pipeline.export.runners import load_runner
from pipeline.models.artifacts import load_model
from pipeline.models.inference import freeze
from pipeline.runtime.errors import PipelineError

logger = logging.getLogger(__name__)


def export_family(
    artifact: Path, contract: ExportContract, facts: DatasetFacts, params: Params, folder: Path
) -> list[ExportFormat]:
    """Fills `folder`, which is empty; returns the formats that are kept. artifact: models/<family>.keras. Raises PipelineError
    where a file can't be written, or where one that computes in float32 disagrees with the model."""
    formats = sorted(set(params.export.formats), key=list(FORMATS).index)
    model = load_model(artifact)
    save_contract(contract, folder)
    (folder / DECODE_FILE).write_text(make_decode_script(contract), encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="export-") as scratch:
        write_files(model, contract, facts, formats, params.export.calibration_images, folder, Path(scratch))
    threads, joint = params.runtime.threads, make_answering(model, contract, artifact)
    collected = collect_answers(
        read_encoded("test", facts),
        load_decode_script(folder / DECODE_FILE),
        freeze(joint),
        {name: load_runner(name, folder, threads=threads) for name in formats},
        None if joint is model or contract.familiarity is None else contract.familiarity.scores,
    )
    rows = judge(contract.family, collected, folder, params.export.max_drop)
    save_parity(rows, folder)
    save_facts(
        ExportFacts(
            formats=formats,
            model_sha256=contract.model_sha256,
            undecodable=collected.undecodable,
            differing=collected.differing,
            versions=find_versions(formats),
        ),
        folder,
    )
    _log(contract.family, rows)
    return [name for name, row in zip(formats, rows, strict=True) if not row.reason]


def write_files(
    model: keras.Model,
    contract: ExportContract,
    facts: DatasetFacts,
    formats: list[ExportFormat],
    calibration_images: int,
    folder: Path,
    scratch: Path,
) -> None:
    """scratch: for what other files are made of."""
    saved = (folder if "savedmodel" in formats else scratch) / FORMATS["savedmodel"].file
    graph = (folder if "onnx" in formats else scratch) / FORMATS["onnx"].file
    images = read_calibration(list_shards("train"), facts.num_images["train"], facts, calibration_images)
    with _naming(contract.family, "savedmodel"):
        save_saved_model(model, saved, contract)
        single = make_single_precision(model)
        if single is not model:
            save_saved_model(single, scratch / "single", contract)
    for name in formats:
        file = folder / FORMATS[name].file
        with _naming(contract.family, name):
            if name in ("onnx", "onnx_float16", "openvino") and not graph.exists():
                save_onnx(model, graph, contract)
            if name == "onnx_float16":
                save_half_onnx(graph, file)
            elif name == "openvino":
                save_openvino(graph, file, contract)
            elif name.startswith("litert"):
                save_litert(saved if single is model else scratch / "single", file, contract, name, images)


@contextmanager
def _naming(family: str, name: ExportFormat) -> Iterator[None]:
    """Converters raise whatever type they run into; what they say becomes one line."""
    try:
        yield
    except (MemoryError, OSError):  # no fault of the model
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"{family} can't be written as {name} ({type(error).__name__}: {said}): leave {name} out of export.formats"
        ) from error


def _log(family: str, rows: list[Parity]) -> None:
    for row in rows:
        if row.reason:
            logger.warning("%s: %s is refused: its %s", family, row.format, row.reason)
        else:
            logger.info(
                "%s: %s, %.1f MB, accuracy %.4f (the model's: %.4f), agrees on %.2f %% of %d images",
                *(
                    family,
                    row.format,
                    row.bytes / 1e6,
                    row.accuracy,
                    row.model_accuracy,
                    100 * row.agreement,
                    row.images,
                ),
            )
