import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pipeline.models import archive
from pipeline.models.archive import RefusedError, check_model, check_preset, check_weights
from tests.pipeline.models.hostile_models import (
    ARCHIVES,
    MARKER,
    OBJECTS,
    PLACES,
    WEIGHTS,
    make_config,
    make_object,
    make_weights,
    write_archive,
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the tests run; afterwards, nothing that was loaded has run there."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARKER).exists()


def refusal(check, file: Path) -> str:
    with pytest.raises(RefusedError) as caught:
        check(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestGoodFiles:
    """test_build.py loads one of every family besides."""

    def test_a_network_passes(self):
        check_model(write_archive(Path("good.keras")))

    def test_so_does_one_with_a_contract(self):
        check_model(write_archive(Path("good.keras"), **{"contract.json": b"{}"}))

    @pytest.mark.parametrize(
        "name", ["SpatialDropout2D", "RandomFlip", "SeparableConv2D", "GlobalMaxPooling2D", "PReLU"]
    )
    def test_so_do_layers_that_no_family_of_ours_has(self, name):
        check_model(write_archive(Path("good.keras"), make_config(make_object("keras.layers", name, {}))))

    def test_so_does_what_the_whole_was_compiled_with_of_which_nothing_is_made(self):
        config = make_config() | {"compile_config": {"loss": make_object("their.losses", "Focal", {})}}
        check_model(write_archive(Path("good.keras"), config))

    def test_so_do_weights_alone(self):
        Path("good.weights.h5").write_bytes(make_weights())
        check_weights(Path("good.weights.h5"))


@pytest.mark.parametrize("name", OBJECTS)
def test_what_is_no_layer_known_to_run_no_code_is_refused_wherever_it_stands(name):
    for put in PLACES.values():
        assert "it is built with " in refusal(check_model, write_archive(Path("bad.keras"), put(OBJECTS[name])))


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_keras_would_not_write_is_refused_unread(name):
    ARCHIVES[name](Path("bad.keras"))
    tracemalloc.start()
    refusal(check_model, Path("bad.keras"))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 << 20  # bytes


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_lie_elsewhere_or_are_no_plain_numbers_are_refused(name):
    weights = make_weights(WEIGHTS[name])
    Path("bad.weights.h5").write_bytes(weights)
    line = refusal(check_weights, Path("bad.weights.h5"))
    assert refusal(check_model, write_archive(Path("bad.keras"), weights=weights)) == line


def test_there_are_as_many_hostile_files_as_were_tried_once():
    assert len(OBJECTS) * len(PLACES) + len(ARCHIVES) + 2 * len(WEIGHTS) > 101


class Touch:
    """Pickled as a call that leaves the marker."""

    def __reduce__(self) -> tuple:
        return Path(MARKER).touch, ()


@pytest.mark.parametrize("name", ["array.npy", "plain.npy", "mapped.npy"])
def test_arrays_of_numpy_are_read_without_pickle(name):
    """As features, labels and probabilities are, by np.load as it is: with allow_pickle off."""
    content = pickle.dumps(Touch())
    if name == "plain.npy":
        Path(name).write_bytes(content)
    else:
        np.save(name, np.array([Touch()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"pickle|object"):
        np.load(name, mmap_mode="r" if name == "mapped.npy" else None)


VIT = {
    "module": "keras_hub.src.models.vit.vit_backbone",
    "class_name": "ViTBackbone",
    "config": {},
    "registered_name": "keras_hub>ViTBackbone",
}


class TestPresets:
    """Folders of KerasHub, which need not be installed to look at them."""

    def write(self, **changes: object) -> Path:
        Path("config.json").write_text(json.dumps(VIT | changes))
        Path("model.weights.h5").write_bytes(make_weights())
        return Path()

    def test_a_network_of_its_own_with_plain_arrays_is_let_through(self, monkeypatch):
        monkeypatch.setattr(archive, "find_spec", lambda _: object())
        check_preset(self.write())

    def test_without_the_extra_it_is_said_how_to_install_it(self, monkeypatch):
        monkeypatch.setattr(archive, "find_spec", lambda _: None)
        assert "a network of KerasHub, which is not installed: run `pip install -c" in refusal(
            check_preset, self.write()
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"class_name": "Lambda"},
            {"module": "keras_hub.src.utils.preset_utils"},
            {"module": "keras_hub.src.models.vit.vit_backbone\nos"},
            {"registered_name": "mine>ViTBackbone"},
            {"config": {"layer": {"module": "builtins", "class_name": "eval", "config": {}}}},
        ],
    )
    def test_anything_else_is_refused(self, monkeypatch, changes):
        monkeypatch.setattr(archive, "find_spec", lambda _: object())
        assert refusal(check_preset, self.write(**changes)).startswith("it is built with ")

    def test_a_keras_layer_under_a_name_of_the_hub_is_refused(self):
        folder = self.write(module="keras.layers", class_name="Dense", registered_name="keras_hub>Dense")
        assert refusal(check_preset, folder).startswith("it is built with ")
