import json
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.models.build import build_model
from pipeline.models.contract import Contract, load_contract
from pipeline.runtime.errors import PipelineError
from tests.pipeline.models.hostile_models import OBJECTS, WEIGHTS, make_config, make_weights, write_archive

# test_build.py saves and loads every family: here one of each kind, as some take seconds.
ONE_OF_EACH = ("linear_svm", "optimized", "vgg_blocks", "mobilenet", "efficientnet_lite0_svm")
CONTRACT = Contract(
    family="underfit",
    class_names=["cat", "猫", "dog"],
    image_size=32,
    resize="crop",
    range="auto",
    temperature=1.5,
    data="d" * 64,
    settings="s" * 64,
)
ZIP_CLOCK = 2.1  # seconds; a zip's times are even seconds


@pytest.fixture(scope="module")
def artifacts(tensorflow):  # noqa: ARG001 - must be configured before the module imports it
    from pipeline.models import artifacts

    return artifacts


@pytest.fixture
def model(artifacts):  # noqa: ARG001
    return build_model("underfit", image_size=32, num_classes=3)


def refusal(artifacts, file: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        artifacts.load_model(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestSaving:
    def test_the_same_weights_give_the_same_bytes_at_another_time(self, artifacts, model, tmp_path):
        artifacts.save_model(model, tmp_path / "a" / "underfit.keras")
        time.sleep(ZIP_CLOCK)
        artifacts.save_model(model, tmp_path / "b" / "underfit.keras")
        first, second = ((tmp_path / folder / "underfit.keras").read_bytes() for folder in "ab")
        assert first == second

    def test_the_same_weights_give_the_same_bytes_under_another_name(self, artifacts, model, tmp_path):
        artifacts.save_model(model, tmp_path / "one.keras")
        artifacts.save_model(model, tmp_path / "two.keras")
        assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()

    def test_other_weights_give_other_bytes(self, artifacts, model, tmp_path):
        artifacts.save_model(model, tmp_path / "one.keras")
        model.set_weights([weights + 1 for weights in model.get_weights()])
        artifacts.save_model(model, tmp_path / "two.keras")
        assert (tmp_path / "one.keras").read_bytes() != (tmp_path / "two.keras").read_bytes()

    def test_the_file_holds_no_time(self, artifacts, model, tmp_path):
        artifacts.save_model(model, tmp_path / "one.keras")
        with zipfile.ZipFile(tmp_path / "one.keras") as archive:
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert json.loads(archive.read("metadata.json"))["date_saved"].startswith("1980")

    @pytest.mark.parametrize("family", ONE_OF_EACH)
    def test_the_file_holds_no_memory_address(self, artifacts, family, tmp_path):
        artifacts.save_model(build_model(family, image_size=32, num_classes=3), tmp_path / "one.keras")
        with zipfile.ZipFile(tmp_path / "one.keras") as archive:
            numbers = re.findall(r"(?<![.0-9])[0-9]{7,}", archive.read("config.json").decode())
        assert numbers == []

    def test_a_contract_is_a_member_that_changes_neither_bytes_nor_keras(self, artifacts, model, tmp_path):
        import keras

        for name in ("one", "two"):
            artifacts.save_model(model, tmp_path / f"{name}.keras", CONTRACT)
        assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
        assert load_contract(tmp_path / "one.keras") == CONTRACT
        loaded = keras.models.load_model(tmp_path / "one.keras")  # as whoever has Keras alone
        pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
        np.testing.assert_array_equal(loaded(pixels), model(pixels))

    def test_it_leaves_no_other_file(self, artifacts, model, tmp_path):
        artifacts.save_model(model, tmp_path / "models" / "one.keras")
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["one.keras"]

    @pytest.mark.parametrize("has_older", [True, False])
    def test_a_full_disk_keeps_the_previous_file(self, artifacts, tmp_path, has_older):
        if has_older:
            (tmp_path / "one.keras").write_bytes(b"older")
        with pytest.raises(OSError, match="full"):
            artifacts.save_model(_FillsTheDisk(), tmp_path / "one.keras")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == (
            {"one.keras": b"older"} if has_older else {}
        )


class _FillsTheDisk:
    def save(self, file: str | Path) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("the disk is full")


class TestLoading:
    def test_a_missing_file_is_one_line_that_says_how_to_train_it(self, artifacts, tmp_path):
        message = refusal(artifacts, tmp_path / "underfit.keras")
        assert "underfit.keras is not here" in message
        assert "dvc repro train@underfit" in message

    @pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
    def test_a_truncated_file_is_one_line(self, artifacts, model, tmp_path, monkeypatch, kept):
        monkeypatch.chdir(tmp_path)
        file = Path("models/underfit.keras")
        artifacts.save_model(model, file)
        data = file.read_bytes()
        file.write_bytes(data[: int(kept * len(data))])
        assert "dvc repro -f train@underfit" in refusal(artifacts, file)

    def test_a_file_of_another_kind_is_one_line(self, artifacts, tmp_path):
        (tmp_path / "underfit.keras").write_text("hello")
        assert "can't be loaded" in refusal(artifacts, tmp_path / "underfit.keras")

    def test_a_changed_byte_in_the_weights_is_detected(self, artifacts, model, tmp_path):
        file = tmp_path / "underfit.keras"
        artifacts.save_model(model, file)
        with zipfile.ZipFile(file) as archive:
            member = archive.getinfo("model.weights.h5")
        data = bytearray(file.read_bytes())
        data[member.header_offset + member.file_size // 2] ^= 1
        file.write_bytes(data)
        assert "can't be loaded" in refusal(artifacts, file)

    def test_a_file_that_would_run_code_is_refused(self, artifacts, tmp_path):
        import keras

        inputs = keras.Input((4,))
        runs_code = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
        artifacts.save_model(runs_code, tmp_path / "bad.keras")
        line = refusal(artifacts, tmp_path / "bad.keras")
        assert "bad.keras is refused: it is built with 'keras.layers.Lambda'" in line
        assert "ask for the file that `dvc repro` left in the models/ of whoever trained it" in line

    def test_none_of_the_hostile_files_runs(self, artifacts, tmp_path, monkeypatch):
        """tests/pipeline/models/test_archive.py has what is said of each."""
        monkeypatch.chdir(tmp_path)
        for thing in OBJECTS.values():
            refusal(artifacts, write_archive(Path("bad.keras"), make_config(thing)))
        for write in WEIGHTS.values():
            refusal(artifacts, write_archive(Path("bad.keras"), weights=make_weights(write)))
        assert [path.name for path in tmp_path.iterdir()] == ["bad.keras"]

    @pytest.mark.parametrize("error", [MemoryError(), PermissionError("not yours")])
    def test_a_cause_outside_the_file_is_not_blamed_on_it(self, artifacts, tmp_path, monkeypatch, error):
        def fail(*_: object, **__: object) -> None:
            raise error

        write_archive(tmp_path / "good.keras")
        monkeypatch.setattr(artifacts.keras.models, "load_model", fail)
        with pytest.raises(type(error)):
            artifacts.load_model(tmp_path / "good.keras")
