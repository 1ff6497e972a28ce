"""prune and preprocess on Ray against processes of this machine, both with two workers; and two nodes against one, and, in
predict, against this machine.

Run: python tests/benchmarks/bench_cluster.py [IMAGES]. Needs the extra `ray`. Target: 1.15 times the time of processes at most,
once Ray runs; what its start takes, each stage once, is printed beside. Nodes are of one processor each, on this machine: what
two give over one is bounded by its cores.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.config.reader import load_params
from pipeline.data.image_files import Decoding, load_pictures
from pipeline.data.inspection import Limits, inspect_files
from pipeline.data.manifest import load_manifest
from pipeline.data.picture_paths import list_pictures
from pipeline.data.raw import load_index
from pipeline.data.shards import plan_chunks, write_shards
from pipeline.data.splits import load_splits
from pipeline.evaluation.answering import Asked, answer_on
from pipeline.evaluation.answers import NO_EXTRAS, answer_batches, load_classifier, make_writer, write_answers
from pipeline.models.contract import Contract
from pipeline.runtime.cluster import Cluster, open_cluster
from pipeline.runtime.processes import Runner
from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import photos_project

SIZE, ROUNDS = 150, 3


def main() -> None:
    """Reads photographs, 150 px JPEGs of 15 KB."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # of workers, which start in another folder
    with photos_project(images, SIZE, "download", "prune", "split") as folder, contextlib.chdir(folder):
        works = {"prune": make_prune(), "preprocess": make_preprocess()}
        start = time.perf_counter()
        with open_cluster(cluster="ray", address=None) as cluster:
            print(f"Ray's start: {time.perf_counter() - start:.1f} s")
            for name, (work, count) in works.items():
                work(cluster)  # its workers start once
                ours = lambda work=work, count=count: rate(count, lambda: work(cluster))  # noqa: E731
                ratio = compare(
                    f"{name}: Ray against processes",
                    ours,
                    lambda work=work, count=count: rate(count, lambda: work(None)),
                    rounds=ROUNDS,
                )
                print(f"  {name} takes {1 / ratio:.2f} times as long on Ray")
        work, count = works["preprocess"]
        with nodes(1) as one:
            first = max(measure(work, count, one) for _ in range(ROUNDS))
        answer, pictures = make_predict()
        with nodes(2) as two:
            second = max(measure(work, count, two) for _ in range(ROUNDS))
            answer(two)  # its workers load the model once
            compare(
                "predict: two nodes of one processor against this machine",
                lambda: measure(answer, pictures, two),
                lambda: rate(pictures, lambda: answer(None)),
                rounds=ROUNDS,
            )
        print(
            f"preprocess on nodes of one processor: {first:,.0f} images/s on one, {second:,.0f} on two: {second / first:.2f}x"
        )


def measure(work: Callable[[Cluster | None], object], count: int, cluster: Cluster) -> float:
    """Images per second."""
    return rate(count, lambda: work(cluster))


def make_prune() -> tuple[Callable[[Runner | None], object], int]:
    """What runs the stage's work on a runner, two workers at a time, and how many images that are."""
    index, limits = load_index(), Limits(8, 128.0, 30.0)
    return lambda runner: inspect_files(index, limits, num_workers=2, runner=runner), len(index)


def make_preprocess() -> tuple[Callable[[Runner | None], object], int]:
    """The same of preprocess."""
    table = load_splits().merge(load_manifest().drop(columns=["label"]), on=["image_id", "name"])
    names = sorted(table["label"].unique())

    def work(runner: Runner | None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            chunks = plan_chunks(table, names, image_size=SIZE, resize="stretch", num_shards=4)
            write_shards(chunks, len(table), Path(folder), num_workers=2, runner=runner)

    return work, len(table)


def make_predict() -> tuple[Callable[[Cluster | None], object], int]:
    """The same of predict --csv, by an untrained network; of a cluster, or of this machine."""
    runtime = load_params().runtime
    configure_tensorflow(**runtime.arithmetic)
    from pipeline.models.artifacts import save_model
    from pipeline.models.build import build_model

    file, names = Path("predicting.keras"), sorted({Path(path).parent.name for path in list_pictures(Path("photos"))})
    content = {"family": "underfit", "class_names": names, "image_size": SIZE, "resize": "stretch", "range": "auto"}
    contract = Contract.model_validate(content | {"temperature": 1.0, "data": "d" * 64, "settings": "s" * 64})
    save_model(build_model("underfit", image_size=SIZE, num_classes=len(names)), file, contract)
    asked = Asked(file, contract, Decoding(SIZE, "stretch", 8, 128.0), 3, NO_EXTRAS)
    classify, pictures = load_classifier(file, contract), list(list_pictures(Path("photos")))

    def work(cluster: Cluster | None) -> None:
        with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink):
            here = answer_batches(load_pictures(pictures, asked.decoding), classify, names, asked.top)
            batches = here if cluster is None else answer_on(cluster, pictures, asked, runtime)
            write_answers(batches, make_writer("csv", "underfit", asked.top), [])

    return work, len(pictures)


@contextlib.contextmanager
def nodes(count: int) -> Iterator[Cluster]:
    """A head without processors, and nodes of one each."""
    from ray import cluster_utils

    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1)
        with open_cluster(cluster="ray", address=cluster.address) as runner:
            assert runner is not None
            yield runner
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
