from pathlib import Path

import pytest

from pipeline.config.reader import load_params
from pipeline.doctor import resources
from pipeline.doctor.needs import DiskNeeds, MemoryNeeds
from pipeline.doctor.resources import describe_cores, describe_disk, describe_memory, show_bytes
from pipeline.runtime.dvc_facts import DvcFacts
from pipeline.runtime.machine import Cores, Gpu, Memory

GB = 10**9
NEEDS = DiskNeeds(raw=2 * GB, tfrecords=3 * GB, embeddings=0, models=30_000_000)


def facts(cache: Path, link: str) -> DvcFacts:
    return DvcFacts(cache, (link,), (link,), {}, "", needs_git=True)


@pytest.mark.parametrize(("size", "text"), [(999, "1 kB"), (18_400_000, "18 MB"), (3.14e9, "3.1 GB")])
def test_sizes_have_a_unit(size, text):
    assert show_bytes(size) == text


class TestDisk:
    @pytest.fixture
    def free(self, monkeypatch):
        """Sets what is free on every disk."""

        def set_free(size):
            monkeypatch.setattr(resources, "measure_free_disk", lambda _: size)

        return set_free

    def test_what_is_needed_is_listed_without_what_is_not(self, tmp_path, free):
        free(100 * GB)
        lines, findings = describe_disk(NEEDS, facts(tmp_path, "hardlink"), tmp_path, is_known=True)
        assert lines == [
            "needs about 5.0 GB: raw 2.0 GB, tfrecords 3.0 GB, models 30 MB",
            "free where the project is: 100.0 GB",
        ]
        assert findings == []

    def test_too_little_stops(self, tmp_path, free):
        free(4 * GB)
        _, [finding] = describe_disk(NEEDS, facts(tmp_path, "hardlink"), tmp_path, is_known=True)
        assert finding.stops
        assert "4.0 GB free and the run needs about 5.0 GB" in finding.text

    def test_copies_count_twice(self, tmp_path, free):
        free(7 * GB)
        assert describe_disk(NEEDS, facts(tmp_path, "hardlink"), tmp_path, is_known=True)[1] == []
        lines, [finding] = describe_disk(NEEDS, facts(tmp_path, "copy"), tmp_path, is_known=True)
        assert "as much again on this disk" in lines[1]
        assert finding.stops

    def test_a_cache_on_another_disk_is_measured_there_too(self, tmp_path, free, monkeypatch):
        free(7 * GB)
        monkeypatch.setattr(resources, "is_same_disk", lambda *_: False)
        lines, findings = describe_disk(NEEDS, facts(tmp_path, "copy"), tmp_path, is_known=True)
        assert lines[-1] == "free where the cache is: 7.0 GB"
        assert findings == []

    def test_of_an_unknown_number_of_pictures_1000_are_told(self, tmp_path):
        lines, _ = describe_disk(NEEDS, None, tmp_path, is_known=False)
        assert "for each 1,000 of them about" in lines[0]


@pytest.mark.usefixtures("project")
class TestMemory:
    def test_enough_is_one_line(self):
        needs = MemoryNeeds(decode=100_000_000, worst=0, train=2 * GB, linear=0)
        lines, findings = describe_memory(needs, Memory(32 * GB, 16 * GB), 4, load_params())
        assert lines == ["16.0 GB of 32.0 GB available; at most, training about 2.0 GB, decoding 100 MB in 4 workers"]
        assert findings == []

    @pytest.mark.parametrize(
        ("needs", "parameter"),
        [
            (MemoryNeeds(0, 0, 3 * GB, 0), "train.cache_gb (now 4)"),
            (MemoryNeeds(0, 0, 0, 3 * GB), "max_gb"),
            (MemoryNeeds(3 * GB, 0, 0, 0), "preprocess.num_workers"),
        ],
    )
    def test_too_little_names_the_parameter_to_lower(self, needs, parameter):
        _, [finding] = describe_memory(needs, Memory(4 * GB, 2 * GB), 2, load_params())
        assert parameter in finding.text
        assert not finding.stops


class TestCores:
    @pytest.fixture(autouse=True)
    def _gpus(self, monkeypatch):
        monkeypatch.setattr(resources, "find_gpus", lambda: self.gpus)
        monkeypatch.setattr(resources, "find_missing_gpu_packages", lambda: self.missing)
        self.gpus, self.missing = [], []

    def test_without_a_gpu_the_cores_are_told(self):
        assert describe_cores(Cores(4, None), 0.1) == (
            ["4 usable", "no NVIDIA GPU found: training runs on the cores"],
            [],
        )

    def test_a_share_and_other_programs_are_told(self):
        lines, _ = describe_cores(Cores(4, 1.5), 3.0)
        assert lines[0] == "4 usable, of which a container may take 1.5 at a time"
        assert "load 3.0" in lines[1]

    def test_a_gpu_that_tensorflow_cant_use_is_a_finding(self):
        self.gpus, self.missing = [Gpu("NVIDIA L4", 24 * GB)], ["nvidia-cudnn-cu12"]
        lines, [finding] = describe_cores(Cores(4, None), 0.1)
        assert "GPU: NVIDIA L4, 24.0 GB" in lines
        assert "'.[gpu]'" in finding.text
        self.missing = []
        assert describe_cores(Cores(4, None), 0.1)[1] == []
