import csv
import io
import json
import logging

import numpy as np
import pytest

from pipeline.data.image_files import Picture
from pipeline.evaluation.answers import (
    NO_EXTRAS,
    Answer,
    Extras,
    answer_batches,
    answer_pictures,
    make_writer,
    write_answers,
)
from pipeline.evaluation.conformal import SetRule
from pipeline.evaluation.ranking import rank_classes

NAMES = ["red", 'green, "dark"', "蓝"]
RANKING = [('green, "dark"', 0.75), ("red", 0.2), ("蓝", 0.05)]


def make_picture(path: str, number: int) -> Picture:
    """A picture of one colour, which `classify` knows."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., number] = 200
    return Picture(path, pixels)


def classify(pixels: np.ndarray) -> np.ndarray:
    """Each colour with a probability of 0.8."""
    return np.where(pixels[:, 0, 0] > 100, 0.8, 0.1)


class TestRanking:
    def test_the_most_probable_class_is_first(self):
        assert rank_classes(np.array([0.2, 0.75, 0.05]), NAMES, 3) == [*RANKING]

    @pytest.mark.parametrize(("top", "expected"), [(1, 1), (2, 2), (3, 3), (99, 3)])
    def test_it_has_at_most_the_given_number_of_classes(self, top, expected):
        assert len(rank_classes(np.array([0.2, 0.75, 0.05]), NAMES, top)) == expected

    def test_equals_stay_in_the_order_of_classes(self):
        assert [name for name, _ in rank_classes(np.full(3, 1 / 3), NAMES, 3)] == NAMES

    def test_probabilities_have_six_digits_and_are_python_floats(self):
        (_, probability), *_ = rank_classes(np.array([1 / 3, 2 / 3], np.float32), NAMES, 2)
        assert (probability, type(probability)) == (0.666667, float)

    def test_pictures_that_can_not_be_used_have_an_empty_one(self):
        pictures = [make_picture("a", 2), Picture("b", None, "empty: 0 bytes"), make_picture("c", 0)]
        answers = answer_pictures(pictures, classify, NAMES, 1)
        assert [answer.ranking for answer in answers] == [[("蓝", 0.8)], [], [("red", 0.8)]]
        assert [answer.reason for answer in answers] == ["", "empty: 0 bytes", ""]

    def test_without_a_usable_picture_nothing_is_classified(self):
        def fail(_: np.ndarray) -> np.ndarray:
            raise AssertionError

        answers = answer_pictures([Picture("a", None, "gone"), Picture("b", None, "gone")], fail, NAMES, 1)
        assert [answer.ranking for answer in answers] == [[], []]

    def test_a_set_has_the_classes_that_are_probable_enough_the_most_probable_first(self):
        def guess(_: np.ndarray) -> np.ndarray:
            return np.array([[0.3, 0.6, 0.1], [0.1, 0.05, 0.85]])

        pictures = [make_picture("a", 0), Picture("b", None, "gone"), make_picture("c", 1)]
        answers = answer_pictures(pictures, guess, NAMES, 1, Extras(SetRule(0.9, threshold=0.3)))
        assert [answer.members for answer in answers] == [['green, "dark"', "red"], None, ["蓝"]]
        assert [answer.members for answer in answer_pictures(pictures, guess, NAMES, 1)] == [None] * 3


class TestWriters:
    def write(self, form: str, *answers: tuple, top: int = 3, extras: Extras = NO_EXTRAS) -> None:
        writer = make_writer(form, "linear_svm", top, extras)
        for answer in answers:
            writer.write(Answer(*answer))

    def test_json_is_one_object_per_line(self, capsys):
        self.write("json", ("a.png", RANKING[:2], ""), ("b.png", [], "is a folder"))
        lines = capsys.readouterr().out.splitlines()
        assert '"green, \\"dark\\""' in lines[0]
        assert [json.loads(line) for line in lines] == [
            {
                "path": "a.png",
                "family": "linear_svm",
                "predictions": [{"label": 'green, "dark"', "probability": 0.75}, {"label": "red", "probability": 0.2}],
            },
            {"path": "b.png", "family": "linear_svm", "error": "is a folder"},
        ]

    def test_json_keeps_other_scripts_readable(self, capsys):
        self.write("json", ("猫.png", RANKING, ""))
        assert '"猫.png"' in (line := capsys.readouterr().out)
        assert '"蓝"' in line

    def test_csv_has_a_header_and_one_row_per_picture(self, capsys):
        self.write("csv", ("a.png", RANKING[:2], ""), ("b.png", [], "is a folder"), top=2)
        assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
            ["path", "family", "class_1", "probability_1", "class_2", "probability_2", "error"],
            ["a.png", "linear_svm", 'green, "dark"', "0.75", "red", "0.2", ""],
            ["b.png", "linear_svm", "", "", "", "", "is a folder"],
        ]

    def test_text_is_one_line_per_picture_with_percentages(self, capsys, caplog):
        caplog.set_level(logging.INFO)
        self.write("text", ("a.png", RANKING, ""), ("b.png", [], "is a folder"))
        assert capsys.readouterr().out == 'a.png  green, "dark" 75.0 %, red 20.0 %, 蓝 5.0 %\n'
        assert [(record.levelname, record.message) for record in caplog.records] == [
            ("INFO", "linear_svm:"),
            ("ERROR", "b.png: is a folder"),
        ]

    def test_sets_are_beside_what_there_is_without_them(self, capsys):
        answers = ("a.png", RANKING[:1], "", ['green, "dark"', "蓝"]), ("b.png", [], "is a folder", None)
        self.write("text", answers[0])
        assert capsys.readouterr().out == 'a.png  green, "dark" 75.0 %; one of: green, "dark", 蓝\n'
        self.write("json", *answers)
        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert first["set"] == ['green, "dark"', "蓝"]
        assert second == {"path": "b.png", "family": "linear_svm", "error": "is a folder"}
        self.write("csv", *answers, top=1, extras=Extras(SetRule(0.9, 0.3)))
        header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
        assert header == ["path", "family", "class_1", "probability_1", "set", "error"]
        assert [json.loads(rows[0][4]), rows[1][4:]] == [['green, "dark"', "蓝"], ["", "is a folder"]]

    def test_the_cheapest_class_comes_last(self, capsys):
        answers = ("a.png", RANKING[:1], "", ["red"], "蓝"), ("b.png", [], "is a folder")
        self.write("text", answers[0])
        assert capsys.readouterr().out == 'a.png  green, "dark" 75.0 %; one of: red; costs least: 蓝\n'
        self.write("json", *answers)
        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert first["decision"] == "蓝"
        assert "decision" not in second
        self.write("csv", *answers, top=1, extras=Extras(costs=np.eye(3)))
        header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
        assert header == ["path", "family", "class_1", "probability_1", "decision", "error"]
        assert [row[4:] for row in rows] == [["蓝", ""], ["", "is a folder"]]

    def test_csv_has_no_formulas(self, capsys):
        self.write("csv", ("=1+1.png", [("@cat", 0.5)], ""), ("-x.png", [], "+"), top=1)
        rows = [*csv.reader(io.StringIO(capsys.readouterr().out))]
        assert [row[0] for row in rows[1:]] == ["'=1+1.png", "'-x.png"]
        assert rows[1][2:] == ["'@cat", "0.5", ""]
        assert rows[2][-1] == "'+"

    @pytest.mark.parametrize("form", ["json", "csv"])
    @pytest.mark.parametrize("path", ['Käfer, "klein".png', "it's.png", "猫🐈.png", "two\nlines.png"])
    def test_programs_read_back_any_path(self, capsys, form, path):
        self.write(form, (path, RANKING, ""))
        out = capsys.readouterr().out
        answer = json.loads(out) if form == "json" else next(csv.DictReader(io.StringIO(out, newline="")))
        assert answer["path"] == path

    @pytest.mark.parametrize("form", ["json", "csv", "text"])
    def test_each_answer_is_flushed(self, monkeypatch, form):
        """A program that reads along gets each answer when it is known, though Python buffers what goes into a pipe."""
        flushed: list[int] = []

        class Pipe(io.StringIO):
            def flush(self) -> None:
                flushed.append(self.getvalue().count("\n"))

        monkeypatch.setattr("sys.stdout", Pipe())
        self.write(form, *[(f"{i}.png", RANKING, "") for i in range(3)])
        header = int(form == "csv")
        assert flushed == [1 + header, 2 + header, 3 + header]


class TestWriteAnswers:
    def answer(self, pictures: list[Picture], capsys) -> tuple[list[dict], list[str]]:
        bad: list[str] = []
        write_answers(answer_batches(iter(pictures), classify, NAMES, 1), make_writer("json", "x", 1), bad)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()], bad

    @pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
    def test_every_picture_gets_its_answer_in_order(self, capsys, count):
        answers, bad = self.answer([make_picture(f"{i}.png", i % 3) for i in range(count)], capsys)
        assert [answer["path"] for answer in answers] == [f"{i}.png" for i in range(count)]
        assert [answer["predictions"][0]["label"] for answer in answers] == [NAMES[i % 3] for i in range(count)]
        assert bad == []

    def test_paths_of_unusable_pictures_are_collected(self, capsys):
        pictures = [
            Picture(f"{i}.png", None, "gone") if i % 40 == 7 else make_picture(f"{i}.png", 0) for i in range(90)
        ]
        answers, bad = self.answer(pictures, capsys)
        assert bad == ["7.png", "47.png", "87.png"]
        assert [answer["path"] for answer in answers if "error" in answer] == bad
