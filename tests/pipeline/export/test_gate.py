import numpy as np
import pytest

from pipeline.export.decode_script import DecodeScript
from pipeline.export.encoded_images import EncodedImage
from pipeline.export.gate import collect_answers, judge, measure_bytes
from pipeline.runtime.errors import PipelineError

SIZE, COUNT = 4, 70  # images: more than two batches


def make_images() -> list[EncodedImage]:
    """Of which the brightest channel is the class; files are the pixels themselves."""
    images = []
    for number in range(COUNT):
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        pixels[..., number % 3] = 100 + number
        images.append(EncodedImage(f"{number}.raw", pixels.tobytes(), pixels, number % 3))
    return images


def decode(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(1, SIZE, SIZE, 3).astype(np.float32)


def refuse(data: bytes) -> np.ndarray:
    raise ValueError(f"{len(data)} bytes")


def see(images: np.ndarray) -> np.ndarray:
    means = images.mean(axis=(1, 2))
    return (means / means.sum(axis=1, keepdims=True)).astype(np.float32)


def be_blind(images: np.ndarray) -> np.ndarray:
    return np.tile(np.float32([0.6, 0.3, 0.1]), (len(images), 1))


def collect(function=decode, **runs):
    return collect_answers(make_images(), DecodeScript(function, see), see, runs or {"onnx": see})


def see_far(images: np.ndarray) -> np.ndarray:
    """The same, and behind it a distance, which is larger where an image is brighter."""
    return np.hstack([see(images), images.max(axis=(1, 2, 3))[:, None] / 50]).astype(np.float32)


def see_near(images: np.ndarray) -> np.ndarray:
    return see_far(images) * np.float32([1, 1, 1, 0.5])


def collect_far(**runs):
    return collect_answers(make_images(), DecodeScript(decode, see), see_far, runs, [1.0, 3.0])


@pytest.fixture
def files(tmp_path):
    for name in ("model.onnx", "model_int8.tflite"):
        (tmp_path / name).write_bytes(b"content")
    return tmp_path


def test_every_image_is_asked_once_in_order():
    answers = collect().answers["onnx"]
    assert answers.names == [f"{number}.raw" for number in range(COUNT)]
    assert answers.labels.tolist() == [number % 3 for number in range(COUNT)]
    np.testing.assert_array_equal(answers.model, answers.exported)
    assert answers.exported.shape == (COUNT, 3)


def test_the_exported_file_sees_what_the_script_decodes():
    collected = collect(lambda data: decode(data)[..., ::-1])
    assert len(collected.differing) == 47, "green stays green"
    assert collected.answers["onnx"].exported[0].argmax() == 2


def test_pictures_that_the_script_refuses_are_left_out_and_named():
    first = make_images()[0].data
    collected = collect(lambda data: refuse(data) if data == first else decode(data))
    assert collected.undecodable == ("0.raw",)
    assert len(collected.answers["onnx"].names) == COUNT - 1


def test_if_it_refuses_all_nothing_is_proven():
    with pytest.raises(
        PipelineError, match=r"decode\.py refuses all of the 70 test images, such as '0\.raw': expected"
    ):
        collect(refuse)


def test_a_good_file_is_kept(files):
    [parity] = judge("underfit", collect(), files, 0.01)
    assert (parity.format, parity.file, parity.bytes, parity.status) == ("onnx", "model.onnx", 7, "kept")
    assert (files / "model.onnx").exists()


def test_a_bad_one_in_float32_ends_the_stage(files):
    with pytest.raises(PipelineError, match="underfit as onnx names another class than the model for 46 of 70"):
        judge("underfit", collect(onnx=be_blind), files, 0.01)


def test_a_bad_one_that_rounds_is_deleted_and_reported(files):
    first, second = judge("underfit", collect(onnx=see, litert_int8=be_blind), files, 0.01)
    assert (first.status, second.status) == ("kept", "refused")
    assert second.reason == "accuracy is 0.657143 lower than the model's, more than export.max_drop, 0.01"
    assert [file.name for file in files.iterdir()] == ["model.onnx"]


def test_files_that_have_the_distance_are_compared_by_it_the_others_by_probabilities_alone(files):
    first, second = judge("underfit", collect_far(onnx=see_far, litert_int8=see), files, 0.01)
    assert (first.distance_difference, first.refusal_disagreements) == (0.0, 0)
    assert second.distance_difference is None
    assert first.largest_difference == second.largest_difference == 0


def test_a_file_that_would_refuse_other_pictures_ends_the_stage(files):
    with pytest.raises(
        PipelineError, match="underfit as onnx gives another distance than the model, by which 20 of 70"
    ):
        judge("underfit", collect_far(onnx=see_near), files, 0.01)


def test_so_does_one_that_has_no_distance_and_should():
    with pytest.raises(PipelineError, match=r"model\.onnx gives 3 numbers per image: expected 4; leave onnx out"):
        collect_far(onnx=see)


def test_the_size_is_that_of_all_that_a_program_needs(tmp_path):
    (tmp_path / "model.xml").write_bytes(b"12")
    (tmp_path / "model.bin").write_bytes(b"345")
    (tmp_path / "savedmodel/variables").mkdir(parents=True)
    (tmp_path / "savedmodel/saved_model.pb").write_bytes(b"1234")
    (tmp_path / "savedmodel/variables/data").write_bytes(b"5")
    assert measure_bytes(tmp_path / "model.xml") == measure_bytes(tmp_path / "savedmodel") == 5
    assert measure_bytes(tmp_path / "model.bin") == 3
