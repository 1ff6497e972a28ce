"""What a worker of a cluster answers, and what the driver makes of it; both in this process. tests/test_clusters.py has real
nodes."""

import contextlib
import pickle
import socket
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.reader import load_params
from pipeline.data.image_files import FEW, Decoding, Named, Picture, load_pictures
from pipeline.data.picture_paths import list_pictures
from pipeline.evaluation import answering
from pipeline.evaluation.answering import Asked, answer_files
from pipeline.evaluation.answers import NO_EXTRAS, answer_batches
from pipeline.evaluation.ranking import Answer
from pipeline.models.contract import CONTRACT_FILE, Contract, dump_contract
from pipeline.runtime.errors import PipelineError

NAMES = ["red", "green", "blue"]
CONTRACT = Contract.model_validate(
    {"family": "x", "class_names": NAMES, "image_size": 16, "resize": "stretch", "range": "auto"}
    | {"temperature": 1.0, "data": "d" * 64, "settings": "s" * 64}
)


def classify(pixels: np.ndarray) -> np.ndarray:
    """Shares of the colours; the last digit says how many pictures are in the batch."""
    sums = pixels.sum(axis=(1, 2), dtype=np.float64)
    return np.round(sums / sums.sum(axis=1, keepdims=True), 3) + 1e-6 * len(pixels)


class Nodes:
    """Runs tasks in this process, in a folder, as nodes would in theirs: what is handed over is pickled."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tasks = folder, 0
        self.singles: Any = None

    def with_needs(self, **_: Any) -> "Nodes":
        return self

    def map_in_order(self, function: Any, tasks: Iterable[Any], _: None, singles: Any) -> Iterator[Any]:
        self.singles = singles
        for task in tasks:
            self.tasks += 1
            work, names = pickle.loads(pickle.dumps((function, task)))
            with contextlib.chdir(self.folder):
                done = work(names)
            yield pickle.loads(pickle.dumps(done))


@pytest.fixture
def asked(project, monkeypatch) -> Asked:  # noqa: ARG001 - moves the test there
    monkeypatch.setattr(answering, "load_classifier", lambda *_: classify)
    monkeypatch.setattr(answering, "_loaded", {})
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.writestr(CONTRACT_FILE, dump_contract(CONTRACT))
    return Asked(Path("x.keras"), CONTRACT, Decoding(16, "stretch", 8, 1.0), 2, NO_EXTRAS)


@pytest.fixture
def many(picture_folder) -> list[Named]:
    """300 names: one file is damaged, one is missing, one is known to be a folder without pictures, and one comes twice."""
    picture_folder({"a": 150, "b": 147})
    files: list[Named] = list(list_pictures(Path("../pictures")))
    Path(str(files[40])).write_bytes(b"hello")
    return [*files[:200], "gone.png", Picture("empty", None, "contains no picture"), *files[200:], files[0]]


def answer(nodes: Nodes, names: list[Named], asked: Asked) -> list[list[Answer]]:
    return list(answering.answer_on(nodes, names, asked, load_params().runtime))  # type: ignore[arg-type]


def test_answers_are_those_of_this_process_batch_by_batch(asked, many, project):
    here = answer_batches(load_pictures(many, asked.decoding), classify, NAMES, 2)
    nodes = Nodes(project.folder)
    assert answer(nodes, many, asked) == list(here)
    assert nodes.tasks == 3
    assert list(answering._loaded.values()) == [(classify, NAMES)], "the model is loaded once"
    empty = Picture("empty", None, "contains no picture")
    assert nodes.singles(["a.png", empty]) == [("a.png", ["a.png"]), ("empty", [empty])], "to find what loses workers"


def test_few_files_are_answered_here_whatever_cluster_there_is(asked, many, monkeypatch):
    monkeypatch.setattr(answering, "configure_tensorflow", lambda **_: None)
    runtime = load_params().runtime.model_copy(update={"cluster": "ray", "ray_address": "127.0.0.1:1"})
    with answer_files(many[:FEW], asked, runtime) as batches:
        assert [[one.path for one in batch] for batch in batches] == [many[:32], many[32:64]]


class TestStorage:
    """Of a node that has other files than the driver."""

    @pytest.fixture
    def apart(self, asked, many, tmp_path) -> Nodes:  # noqa: ARG002
        """With the same model, and no pictures."""
        folder = tmp_path / "node/project"
        folder.mkdir(parents=True)
        (folder / "x.keras").write_bytes(Path("x.keras").read_bytes())
        return Nodes(folder)

    @staticmethod
    def refuse(nodes: Nodes, names: list[Named], asked: Asked) -> str:
        with pytest.raises(PipelineError) as error:
            answer(nodes, names, asked)
        line = str(error.value)
        assert line.startswith(f"{socket.gethostname()} of the Ray cluster ")
        assert line.count("\n") == 0
        assert "set runtime.cluster to local in params.yaml" in line
        return line

    def test_pictures_that_it_does_not_see_are_one_error_not_a_line_each(self, apart, many, asked):
        assert f"can't read {many[0]!r}: expected pictures on storage that all nodes share" in self.refuse(
            apart, many, asked
        )

    def test_one_that_is_another_file_there_is_an_error(self, apart, many, asked):
        file = apart.folder / str(many[0])
        file.parent.mkdir(parents=True)
        file.write_bytes(Path(str(many[0])).read_bytes() + b"more")
        size = file.stat().st_size
        assert f"has another {many[0]!r}, of {size} bytes instead of {size - 4}:" in self.refuse(apart, many, asked)

    def test_what_this_process_does_not_see_either_is_a_line(self, apart, asked):
        names: list[Named] = ["gone.png", Picture("empty", None, "contains no picture"), "x.keras"]
        (batch,) = answer(apart, names, asked)
        assert [one.reason for one in batch[:2]] == ["does not exist", "contains no picture"]
        assert batch[2].reason

    @pytest.mark.parametrize("content", [None, b"another"])
    def test_a_model_that_it_does_not_have_is_an_error(self, apart, many, asked, content):
        (apart.folder / "x.keras").unlink()
        if content is not None:
            (apart.folder / "x.keras").write_bytes(content)
        assert "does not have the driver's x.keras: expected models on storage" in self.refuse(apart, many, asked)
