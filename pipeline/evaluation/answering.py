"""Who answers predict's pictures: this process or, where there are many, the workers of a cluster, each of which decodes,
classifies and ranks. Batches are composed alike, so that probabilities are the same to the bit.
"""

import os
import socket
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

from pipeline.data.image_files import FEW, Decoding, Named, Picture, load_guarded, load_pictures
from pipeline.evaluation.answers import BATCH, Classify, Extras, answer_batches, load_classifier
from pipeline.evaluation.ranking import Answer
from pipeline.models.contract import Contract, load_contract
from pipeline.runtime.cluster import Cluster, open_cluster
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256
from pipeline.runtime.processes import in_chunks, num_cores
from pipeline.runtime.tensorflow import configure_tensorflow

if TYPE_CHECKING:
    from pipeline.config.sections import Runtime

_AHEAD = 2  # tasks per worker, fewer than elsewhere: no answer comes before so many names are known
_TASK = 4 * BATCH  # pictures of one task: tenths of a second, with photographs of many megapixels some seconds
_loaded: dict[str, tuple[Classify, list[str]]] = {}  # of this worker: the model file's digest to it and its class names


@dataclass(frozen=True)
class Asked:
    """artifact: a model's file. contract: what is in it. top: classes in each answer. extras: see `load_extras`."""

    artifact: Path
    contract: Contract
    decoding: Decoding
    top: int
    extras: Extras


@contextmanager
def answer_files(names: Iterable[Named], asked: Asked, runtime: "Runtime") -> Iterator[Iterator[list[Answer]]]:
    """For the block, one answer per name, in their order, in batches. However many there are, few are in memory.

    runtime: the section of params.yaml. Up to `FEW` names are answered here, whatever it says of a cluster. Raises
    PipelineError, on entry, where the model or the cluster can't be used; later, where a node has other pictures.
    """
    names = iter(names)
    first = [] if runtime.cluster == "local" else list(islice(names, FEW + 1))
    where = runtime.cluster if len(first) > FEW else "local"
    with open_cluster(cluster=where, address=runtime.ray_address) as cluster:
        if cluster is not None:
            with closing(answer_on(cluster, chain(first, names), asked, runtime)) as batches:
                yield chain([next(batches)], batches)  # the first one shows whether nodes can do it
            return
        configure_tensorflow(**runtime.arithmetic)
        classify = load_classifier(asked.artifact, asked.contract)
        pictures = load_pictures(chain(first, names), asked.decoding)
        yield answer_batches(pictures, classify, asked.contract.class_names, asked.top, asked.extras)


@dataclass(frozen=True)
class _Work:
    """What a worker is told with each task: `Asked` without the contract, which is large. threads: processes that decode."""

    artifact: Path
    sha256: str
    decoding: Decoding
    top: int
    extras: Extras
    threads: int


class _Done(NamedTuple):
    """sizes: of some of the task's files, as the node sees them: see `_find_size`."""

    node: str
    sizes: list[tuple[str, int | None]]
    batches: list[list[Answer]]


def answer_on(
    cluster: Cluster, names: Iterable[Named], asked: Asked, runtime: "Runtime"
) -> Generator[list[Answer], None, None]:
    """As `answer_files`, of a cluster that is open."""
    configure = partial(configure_tensorflow, **runtime.arithmetic)
    needing = cluster.with_needs(threads=runtime.threads, on_gpu=True, first=configure, ahead=_AHEAD)
    digest = compute_sha256(asked.artifact)
    work = _Work(asked.artifact, digest, asked.decoding, asked.top, asked.extras, runtime.threads)
    function = partial(_answer_names, work=work)
    for done in needing.map_in_order(function, in_chunks(names, _TASK), None, _list_names):
        _check_shared(done)
        yield from done.batches


def _list_names(names: list[Named]) -> list[tuple[str, list[Named]]]:
    return [(name.path if isinstance(name, Picture) else name, [name]) for name in names]


def _answer_names(names: list[Named], *, work: _Work) -> _Done:
    """On a worker. Sizes are of the first file, which may be another one here, and of those that can't be used."""
    classify, class_names = _load(work)
    pictures = load_guarded(in_chunks(names, BATCH), work.decoding, min(work.threads, num_cores()))
    batches = list(answer_batches(pictures, classify, class_names, work.top, work.extras))
    first = [name for name in names if isinstance(name, str)][:1]
    bad = [answer.path for batch in batches for answer in batch if answer.reason]
    return _Done(socket.gethostname(), [(path, _find_size(path)) for path in dict.fromkeys(first + bad)], batches)


def _load(work: _Work) -> tuple[Classify, list[str]]:
    if work.sha256 not in _loaded:
        if _find_size(str(work.artifact)) is None or compute_sha256(work.artifact) != work.sha256:
            raise PipelineError(
                f"{socket.gethostname()} of the Ray cluster does not have the driver's {work.artifact}: "
                + _describe_storage("models")
            )
        contract = load_contract(work.artifact)
        _loaded[work.sha256] = load_classifier(work.artifact, contract), contract.class_names
    return _loaded[work.sha256]


def _check_shared(done: _Done) -> None:
    """Raises PipelineError where a file can be used here, and the node has none of this name, or another."""
    for path, there in done.sizes:
        here = _find_size(path)
        if here is None or here == there:
            continue
        what = f"can't read {path!r}" if there is None else f"has another {path!r}, of {there} bytes instead of {here}"
        raise PipelineError(f"{done.node} of the Ray cluster {what}: {_describe_storage('pictures')}")


def _find_size(path: str) -> int | None:
    """Bytes of a file; None where there is none that can be read."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size if S_ISREG(status.st_mode) and os.access(path, os.R_OK) else None


def _describe_storage(what: str) -> str:
    return (
        f"expected {what} on storage that all nodes share, at the same path; put them there, or set runtime.cluster to local "
        "in params.yaml (docs/cluster.md)"
    )
