import pytest

from pipeline.data.part_key import compute_part_key


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "preprocess")
    path = tmp_path / "splits.csv"
    path.write_text("a")
    return path


def test_it_changes_with_settings_inputs_and_versions(file, monkeypatch):
    first = compute_part_key({"image_size": 32}, [file])
    assert first == compute_part_key({"image_size": 32}, [file])
    others = [compute_part_key({"image_size": 64}, [file])]
    file.write_text("b")
    others.append(compute_part_key({"image_size": 32}, [file]))
    file.write_text("a")
    monkeypatch.setattr("pipeline.data.part_key.version", lambda _: "0.0")
    others.append(compute_part_key({"image_size": 32}, [file]))
    assert len({first, *others}) == 4


def test_there_is_none_outside_of_dvc_and_without_the_inputs(file, monkeypatch):
    assert compute_part_key({}, [file, file.with_name("code.json")]) is None
    monkeypatch.delenv("DVC_STAGE")
    assert compute_part_key({}, [file]) is None
