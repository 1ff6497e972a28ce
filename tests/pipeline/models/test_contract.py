import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.tfrecords import DatasetFacts
from pipeline.models.contract import (
    CONTRACT_FILE,
    Conformal,
    Contract,
    advise_training,
    check_data,
    check_trained_on,
    compute_settings_digest,
    dump_contract,
    load_contract,
    load_own_contract,
    make_contract,
    parse_contract,
)
from pipeline.runtime.errors import PipelineError
from tests.conftest import ROOT

FACTS = DatasetFacts(["cat", "猫"], {}, {}, 32, "crop", [1.0] * 3, [2.0] * 3, "full", "d" * 64)
SETTINGS = {"recipe": {"epochs": 3, "dropout": 0.2}, "seed": 1}
SCORES = Conformal(images=3, scores=[0.1, 0.5, 0.5])
UNFAMILIAR = {"score": "distance", "images": 1, "scores": [1.0], "features": 0, "directions": 0, "numbers": ""}
FILE = Path("models/underfit.keras")


def make(**changes: Any) -> Contract:
    return make_contract("underfit", FACTS, temperature=1.5, settings=SETTINGS, conformal=SCORES).model_copy(
        update=changes
    )


def write(content: str | bytes | None, file: Path = FILE) -> Path:
    """An archive with this contract.json; None: with another member only."""
    file.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", "{}")
        if content is not None:
            archive.writestr(CONTRACT_FILE, content)
    return file


def refusal(action: Any, *arguments: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        action(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class TestContent:
    def test_it_says_how_pictures_become_answers(self):
        assert make().model_dump(exclude={"settings"}) == {
            "version": 3,
            "family": "underfit",
            "class_names": ["cat", "猫"],
            "image_size": 32,
            "resize": "crop",
            "range": "full",
            "temperature": 1.5,
            "data": "d" * 64,
            "conformal": {"images": 3, "scores": [0.1, 0.5, 0.5]},
            "familiarity": None,
        }

    def test_it_is_read_as_it_was_written(self):
        assert parse_contract(dump_contract(make())) == make()

    def test_the_digest_of_settings_changes_with_a_value_but_not_with_the_order(self):
        assert compute_settings_digest(dict(reversed(SETTINGS.items()))) == compute_settings_digest(SETTINGS)
        assert compute_settings_digest(SETTINGS | {"seed": 2}) != compute_settings_digest(SETTINGS)

    def test_reading_it_needs_no_tensorflow(self):
        write(dump_contract(make()))
        code = (
            "import sys; from pathlib import Path; from pipeline.models.contract import load_contract; "
            "print(load_contract(Path(sys.argv[1])).class_names); "
            "sys.exit(bool({'tensorflow', 'keras', 'pandas', 'scipy'} & set(sys.modules)))"
        )
        command = [sys.executable, "-c", code, str(FILE.absolute())]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "['cat', '猫']\n"


class TestDamage:
    @pytest.mark.parametrize(
        "changes",
        [
            {"class_names": []},
            {"class_names": ["cat", "cat"]},
            {"class_names": "cat"},
            {"class_names": [1, 2]},
            {"image_size": 0},
            {"image_size": "32"},
            {"resize": "squeeze"},
            {"range": None},
            {"temperature": 0},
            {"temperature": -1.0},
            {"temperature": float("nan")},
            {"temperature": float("inf")},
            {"temperature": True},
            {"family": "\x1b[2J"},
            {"family": ""},
            {"surplus": 1},
            {"conformal": {"images": 0, "scores": [0.5]}},
            {"conformal": {"images": 1, "scores": []}},
            {"conformal": {"images": 1, "scores": [1.5]}},
            {"familiarity": UNFAMILIAR | {"scores": [-1.0]}},
            {"familiarity": UNFAMILIAR | {"score": "luck"}},
            {"version": 0},
            {"version": "1"},
        ],
        ids=str,
    )
    def test_a_wrong_value_is_one_line(self, changes):
        write(json.dumps(json.loads(dump_contract(make())) | changes))
        line = refusal(load_contract, FILE)
        assert f"contract.json in {FILE} is damaged" in line
        assert next(iter(changes)) in line
        assert "dvc repro -f train@underfit" in line

    @pytest.mark.parametrize("field", sorted(Contract.model_fields.keys() - {"version", "conformal", "familiarity"}))
    def test_a_missing_one_is_too(self, field):
        content = json.loads(dump_contract(make()))
        del content[field]
        write(json.dumps(content))
        assert f"damaged ({field}: " in refusal(load_contract, FILE)

    def test_one_of_the_first_version_has_no_scores(self):
        content = json.loads(dump_contract(make())) | {"version": 1}
        del content["conformal"], content["familiarity"]
        write(json.dumps(content))
        assert load_contract(FILE) == make(version=1, conformal=None)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000], ids=range(7))
    def test_no_contract_at_all_is_too(self, content):
        write(content)
        assert "is damaged" in refusal(load_contract, FILE)

    def test_one_of_a_newer_program_says_so(self):
        write(json.dumps(json.loads(dump_contract(make())) | {"version": 4, "more": 1}))
        assert "version 4 is of a newer program" in refusal(load_contract, FILE)

    def test_a_file_without_one_says_what_to_do(self):
        line = refusal(load_contract, write(None))
        assert line.startswith(f"{FILE} has no contract.json")
        assert "dvc repro -f train@underfit" in line

    def test_a_file_from_elsewhere_is_not_to_be_trained_again(self):
        line = refusal(load_contract, write(None, Path("friend.keras")))
        assert "dvc repro -f" not in line
        assert "whoever trained it" in line

    @pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04" + bytes(100)])
    def test_what_is_no_archive_is_one_line(self, data):
        FILE.parent.mkdir()
        FILE.write_bytes(data)
        assert f"{FILE} can't be loaded" in refusal(load_contract, FILE)

    def test_a_changed_byte_is_detected(self):
        data = write(dump_contract(make())).read_bytes()
        FILE.write_bytes(data.replace(b"crop", b"crxp", 1))
        assert "can't be loaded" in refusal(load_contract, FILE)

    def test_a_missing_file_and_a_folder_are_one_line(self):
        assert "dvc repro train@underfit" in refusal(load_contract, FILE)
        assert "is not here" in refusal(load_contract, Path("friend.keras"))
        FILE.mkdir(parents=True)
        assert "is not a file" in refusal(load_contract, FILE)


class TestBelonging:
    def change(self, **changes: Any) -> DatasetFacts:
        return DatasetFacts(**{**FACTS.__dict__, **changes})

    def test_a_model_of_this_data_belongs_here(self):
        check_data(make(), FACTS, FILE)
        check_trained_on(make(), FACTS, SETTINGS, FILE)

    def test_without_data_any_does(self):
        check_data(make(), None, FILE)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"class_names": ["cat", "dog"]}, "other classes than data/tfrecords has (with 猫 and without dog)"),
            ({"class_names": ["cat"]}, "other classes than data/tfrecords has (with 猫)"),
            ({"class_names": [*"abcd", "cat", "猫"]}, "(without a, b, c and 1 more)"),
            ({"image_size": 64}, "images of 32 px, but those in data/tfrecords have 64 px"),
            ({"resize": "stretch"}, "images of preprocess.resize crop, but data/tfrecords has stretch"),
            ({"range": "auto"}, "images of preprocess.range full, but data/tfrecords has auto"),
        ],
    )
    def test_one_that_names_or_sees_other_things_does_not(self, changes, words):
        line = refusal(check_data, make(), self.change(**changes), FILE)
        assert f"{FILE} was trained on" in line
        assert words in line
        assert f"--model {FILE}" in line

    def test_for_measuring_the_pictures_themselves_must_be_the_same(self):
        facts = self.change(digest="e" * 64)
        check_data(make(), facts, FILE)
        assert "other pictures, labels or splits" in refusal(check_trained_on, make(), facts, SETTINGS, FILE)

    def test_for_measuring_the_settings_must_be_the_same(self):
        line = refusal(check_trained_on, make(), FACTS, SETTINGS | {"seed": 2}, FILE)
        assert "was trained with other settings than params.yaml has: run `dvc repro train@underfit`" in line

    def test_one_under_the_name_of_another_family_does_not(self):
        assert "is a model of the family overfit" in refusal(check_data, make(family="overfit"), FACTS, FILE)

    @pytest.mark.parametrize("name", ["underfitt", "a/underfit", "../underfit"])
    def test_only_families_have_a_file_here(self, name):
        assert f"--family: no family is called {name!r}" in refusal(load_own_contract, Path(f"models/{name}.keras"))


class TestAdvice:
    """DVC knows the stages of those families alone that params.yaml names."""

    @pytest.mark.parametrize(
        ("family", "expected"),
        [
            ("underfit", "run `dvc repro train@underfit`"),
            ("deep_cnn", "run `dvc exp run -S 'families=[linear_svm, underfit, deep_cnn]'`"),
            ("my_own", "run `dvc repro train@my_own`"),  # a file of a name that is no family
        ],
    )
    def test_it_names_the_command_that_trains_the_family(self, family, expected):
        Path("params.yaml").write_text("families: [linear_svm, underfit]\n")
        assert advise_training(family) == expected

    def test_without_parameters_it_is_dvcs_stage(self):
        assert advise_training("deep_cnn") == "run `dvc repro train@deep_cnn`"
