from collections.abc import Callable
from typing import ClassVar

import pytest

from pipeline.config.reader import load_params
from pipeline.doctor.pictures import Trials, describe_trials, try_pictures
from pipeline.doctor.samples import MAX_SAMPLES, Sample, take_samples
from pipeline.doctor.subject import look_at_source
from tests.pipeline.doctor.measured import make_trials
from tests.pipeline.sources.packing import END_MARK, overwrite, pack_tar, pack_zip, tar_entry, tar_of, zip_bytes


@pytest.fixture
def sample(project):
    """The names of the pictures that would be tried at these parameters."""

    def run(**values):
        project.set(**values)
        params = load_params()
        return list(take_samples(look_at_source(params), params))

    return run


class TestSamples:
    def test_they_are_spread_over_all_classes(self, sample, picture_folder):
        few = sample(data__source="folder", data__path=str(picture_folder({"cat": 5, "dog": 5})))
        assert len(few) == 10
        files = {f"{label}/{n:04}.jpg": b"x" for label in ("cat", "dog", "eel") for n in range(200)}
        many = sample(data__path=str(picture_folder(files, "many")))
        assert MAX_SAMPLES / 2 < len(many) <= MAX_SAMPLES
        assert {s.label for s in many} == {"cat", "dog", "eel"}

    @pytest.mark.parametrize("pack", [pack_zip, pack_tar])
    def test_an_archive_gives_their_bytes(self, sample, tmp_path, pack):
        pack(tmp_path / "a", {f"{label}/{n}.jpg": f"{label}{n}".encode() for label in ("cat", "dog") for n in range(4)})
        found = sample(data__source="archive", data__path=str(tmp_path / "a"))
        assert sorted(s.data for s in found) == sorted(f"{s.name[:3]}{s.name[4]}".encode() for s in found)
        assert len(found) == 8

    @pytest.mark.parametrize(
        "values", [{}, {"data__source": "cifar10"}, {"data__source": "archive", "data__path": "doi:1/2"}]
    )
    def test_of_a_source_that_is_not_here_some_are_drawn(self, sample, values):
        found = sample(**values)
        assert found
        assert all(s.data and s.drawn > 0 for s in found)


def zip_with(lost: list[int], fields: dict[bytes, int], value: bytes):
    """Packs a zip, and overwrites one field of the files numbered so: at these offsets after each signature."""

    def pack(files):
        data = zip_bytes(files)
        for signature, offset in fields.items():
            for number in lost:
                overwrite(data, signature, offset, value, only=number)
        return data

    return pack


def tar_with(lost: list[int], kind: bytes):
    """Packs a tar in which the files numbered so are of another kind: links to the first file, or sparse files."""

    def pack(files):
        names = [name.encode() for name in files]
        odd = [tar_entry(names[number], kind=kind, target=b"0.jpg") for number in lost]
        whole = {name: data for number, (name, data) in enumerate(files.items()) if number not in lost}
        return tar_of(whole) + b"".join(odd) + END_MARK

    return pack


class TestUnreadable:
    """Pictures that an archive has and can't give are lost in a run, and so in a sample of them."""

    DOGS: ClassVar[list[int]] = list(range(14, 28))  # of 28 files, those of the second class
    PACKERS: ClassVar[dict[str, Callable]] = {
        "protected by a password": zip_with(DOGS, {b"PK\3\4": 6, b"PK\1\2": 8}, b"\1"),
        "damaged in the archive": zip_with(DOGS, {b"PK\1\2": 16}, b"\0\0\0\0"),
        "compressed with Implode, which is not read": zip_with(DOGS, {b"PK\3\4": 8, b"PK\1\2": 10}, b"\6"),
        "a link in the archive: not followed": tar_with(DOGS, b"2"),
        "stored as a sparse file: pack it again without --sparse": tar_with(DOGS, b"S"),
    }

    def pack(self, file, reason, make_image_bytes):
        names = [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(14)]
        files = {name: make_image_bytes(seed, size=(40, 30)) for seed, name in enumerate(names)}
        file.write_bytes(self.PACKERS[reason](files))
        return str(file)

    @pytest.mark.parametrize("reason", PACKERS)
    def test_are_tried_and_lost_for_their_reason(self, sample, tmp_path, make_image_bytes, reason):
        path = self.pack(tmp_path / "a", reason, make_image_bytes)
        found = sample(data__source="archive", data__path=path)
        assert sorted((s.label, s.data is not None, s.reason) for s in found) == [
            *[("cat", True, "")] * 14,
            *[("dog", False, reason)] * 14,
        ]

    @pytest.mark.parametrize("reason", PACKERS)
    def test_stop_where_prune_would(self, sample, tmp_path, make_image_bytes, monkeypatch, reason):
        monkeypatch.setattr("pipeline.doctor.pictures._SECONDS", 600.0)
        path = self.pack(tmp_path / "a", reason, make_image_bytes)
        samples = sample(data__source="archive", data__path=path)
        lines, [finding] = describe_trials(try_pictures(iter(samples), load_params(), num_workers=1), 28, 0.05)
        assert lines[0].startswith("28 of 28 tried: 14 would go to quarantine")
        assert finding.stops
        assert f"'dog' 14 of 14 (100.0%), the first because: {reason}" in finding.text

    @pytest.mark.parametrize("pack", [pack_zip, pack_tar])
    def test_are_not_counted_if_they_are_no_pictures_by_their_names(self, sample, tmp_path, pack):
        pack(tmp_path / "a", {"cat/1.png": b"1", "dog/1.png": b"2", "cat/notes.txt": b"3", "README.md": b"4"})
        found = sample(data__source="archive", data__path=str(tmp_path / "a"))
        assert sorted(s.name for s in found) == ["cat/1.png", "dog/1.png"]


def test_bad_pictures_are_named_and_good_ones_timed(project, make_image_bytes, tmp_path):
    project.set(prune__max_seconds=0.15, prune__max_megapixels=1000.0)
    (tmp_path / "good.png").write_bytes(make_image_bytes(size=(40, 30), seed=1))
    samples = [
        Sample("good", "cat", path=str(tmp_path / "good.png")),
        Sample("page", "cat", data=b"<!DOCTYPE html><html></html>"),
        Sample("missing", "dog", path=str(tmp_path / "missing.png")),
        Sample("slow", "dog", data=make_image_bytes(7, size=(12_000, 12_000), mode="L", compress_level=1)),
        Sample("small", "dog", data=make_image_bytes(size=(4, 4), seed=1)),
    ]
    found = try_pictures(iter(samples), load_params(), num_workers=1)
    reasons = {trial.sample.name: trial.reason for trial in found.trials}
    assert reasons["good"] == ""
    assert "HTML" in reasons["page"]
    assert "No such file" in reasons["missing"]
    assert reasons["slow"] == "takes more than 0.15 s to decode; see prune.max_seconds"
    assert "prune.min_side" in reasons["small"]
    assert found.largest == (40, 30)
    assert found.inspect_seconds > 0
    assert found.decode_seconds > 0
    assert found.trials[0].sample.data is None


class TestDescription:
    def test_no_picture_says_nothing(self):
        assert describe_trials(Trials(()), 0, 0.05) == ([], [])

    def test_reasons_are_counted_with_an_example(self):
        lines, findings = describe_trials(make_trials(198, {"cut off": 2}), 5000, 0.05)
        assert lines[0].startswith("200 of 5,000 tried: 2 would go to quarantine; 200/s")
        assert lines[0].endswith("100 kB each; the largest 400x300")
        assert lines[1] == "quarantine: 2 (cut off), such as 'cat/cut off-0.jpg'"
        assert findings == []

    def test_the_rarest_reasons_are_summed(self):
        lines, _ = describe_trials(make_trials(100, {"a": 4, "b": 3, "c": 2, "d": 1, "e": 1}), 5000, 0.5)
        assert lines[-1] == "quarantine: 2 for other reasons"

    def test_more_than_prune_allows_stops(self):
        _, [finding] = describe_trials(make_trials(90, {"cut off": 10}), 5000, 0.05)
        assert finding.stops
        assert "prune.max_loss = 0.05" in finding.text

    def test_one_of_a_small_sample_may_be_chance(self):
        assert describe_trials(make_trials(9, {"cut off": 1}), 5000, 0.05)[1] == []

    def test_where_the_sample_is_all_there_is_prunes_own_rule_decides_by_class_too(self):
        trials = Trials((*make_trials(90).trials, *make_trials(9, {"cut off": 1}, "dog").trials))
        assert describe_trials(trials, 5000, 0.05)[1] == []
        [finding] = describe_trials(trials, 100, 0.05)[1]
        assert finding.stops
        assert "'dog' 1 of 10" in finding.text

    def test_a_class_without_a_good_picture_is_named(self):
        trials = Trials((*make_trials(100).trials, *make_trials(0, {"HEIC": 3}, "dog").trials))
        _, [finding] = describe_trials(trials, 5000, 0.05)
        assert finding.text.startswith("no sampled picture of 'dog'")

    def test_if_none_can_be_decoded_there_is_no_rate(self):
        assert "none can be decoded" in describe_trials(make_trials(0, {"x": 3}), 3, 0.05)[0][0]
