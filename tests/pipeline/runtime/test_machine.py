import os
from importlib.metadata import PackageNotFoundError

import psutil
import pynvml
import pytest

from pipeline.runtime import machine
from pipeline.runtime.machine import (
    Gpu,
    count_cores,
    find_existing,
    find_gpus,
    find_missing_gpu_packages,
    is_same_disk,
    measure_free_disk,
    measure_load,
    measure_memory,
)
from pipeline.runtime.processes import num_cores


@pytest.fixture
def control_group(tmp_path):
    """Writes the files of a control group, and where the process is in it; returns both places."""

    def write(place, files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        (tmp_path / "cgroup").write_text(place)
        return {"groups": tmp_path / "cgroup", "mount": tmp_path}

    return write


class TestCores:
    def test_without_a_limit_there_is_no_quota(self, control_group):
        found = count_cores(**control_group("0::/\n", {"cpu.max": "max 100000\n"}))
        assert (found.usable, found.quota) == (num_cores(), None)

    @pytest.mark.parametrize(
        ("place", "files"),
        [
            ("0::/\n", {"cpu.max": "50000 100000\n"}),
            ("0::/job/part\n", {"job/part/cpu.max": "max 100000\n", "job/cpu.max": "50000 100000\n"}),
            ("4:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": "50000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}),
            ("4:cpu:/not/seen\n", {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ],
        ids=["version 2", "of a group above", "version 1", "a container's root"],
    )
    def test_a_containers_share_is_found(self, control_group, place, files):
        assert count_cores(**control_group(place, files)).quota == 0.5

    def test_a_share_of_more_than_there_is_limits_nothing(self, control_group):
        assert count_cores(**control_group("0::/\n", {"cpu.max": "100000000 100000\n"})).quota is None

    def test_a_system_without_control_groups_has_no_limits(self, tmp_path):
        assert count_cores(groups=tmp_path / "nothing").quota is None
        assert measure_memory(groups=tmp_path / "nothing").total == psutil.virtual_memory().total

    def test_the_load_is_a_number(self):
        assert measure_load() >= 0


class TestMemory:
    def test_a_containers_limit_counts_and_what_the_kernel_can_give_up_is_available(self, control_group):
        files = {
            "memory.max": "1000000\n",
            "memory.current": "700000\n",
            "memory.stat": "anon 5\ninactive_file 200000\n",
        }
        found = measure_memory(**control_group("0::/\n", files))
        assert (found.total, found.available) == (1_000_000, 500_000)

    def test_so_does_one_of_version_1(self, control_group):
        files = {"memory/memory.limit_in_bytes": "1000000\n", "memory/memory.usage_in_bytes": "700000\n"}
        assert measure_memory(**control_group("4:memory:/x\n", files)).available == 300_000

    @pytest.mark.parametrize("limit", ["max", "9223372036854771712", "?"])
    def test_no_limit_is_none(self, control_group, limit):
        found = measure_memory(**control_group("0::/\n", {"memory.max": limit, "memory.current": "7\n"}))
        assert found.total == psutil.virtual_memory().total
        assert 0 < found.available <= found.total


class TestDisk:
    def test_a_path_that_does_not_exist_is_measured_where_it_would_be(self, tmp_path):
        assert find_existing(tmp_path / "a/b") == tmp_path
        assert measure_free_disk(tmp_path / "a/b") > 0

    def test_paths_below_one_folder_are_on_one_disk(self, tmp_path):
        assert is_same_disk(tmp_path / "a", tmp_path / "b/c")

    @pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
    def test_another_file_system_is_another_disk(self, tmp_path):
        assert not is_same_disk(tmp_path, machine.Path("/dev/shm"))


class TestGpus:
    def test_without_nvidias_library_the_driver_is_asked(self, tmp_path, monkeypatch):
        def fail():
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

        monkeypatch.setattr(pynvml, "nvmlInit", fail)
        assert find_gpus(tmp_path) == []
        (tmp_path / "0000:01:00.0").mkdir()
        assert find_gpus(tmp_path) == [Gpu("0000:01:00.0", 0)]

    def test_packages_of_the_extra_that_are_missing_are_named(self, monkeypatch):
        monkeypatch.setattr(machine, "_is_installed", lambda name: name == "nvidia-cudnn-cu12")
        missing = find_missing_gpu_packages()
        assert any(name.startswith("nvidia-cuda") for name in missing)
        assert "nvidia-cudnn-cu12" not in missing
        assert "numpy" not in missing

    def test_without_tensorflow_it_is_what_is_missing(self, monkeypatch):
        def fail(_):
            raise PackageNotFoundError

        monkeypatch.setattr(machine, "requires", fail)
        assert find_missing_gpu_packages() == ["tensorflow"]
