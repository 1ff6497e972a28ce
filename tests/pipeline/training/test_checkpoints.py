import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.training import checkpoints as module
from pipeline.training.checkpoints import NO_CHECKPOINTS, NO_PHASE, Checkpoint, Checkpoints, Pace, PhaseCheckpoints

KEY, OTHER_KEY = "a" * 64, "b" * 64
EVERY_EPOCH = Pace(first=0.0, share=1e9)


def make(epochs: int = 3, **changes: Any) -> Checkpoint:
    content: dict[str, Any] = {
        "history": {"loss": [1.0 / (n + 3) for n in range(epochs)], "val_loss": [float("nan")] * epochs},
        "callbacks": {"EpochKeeper": {"best": 0.1, "wait": 2, "restore_best_weights": True}},
        "variables": [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7, 8], np.uint32), np.float32(0.5)],
        "best": [np.ones(2, np.float32)],
        "random": [[3, [1, 2], None], ["MT19937", [5, 6], 1, 0, 0.0]],
    }
    return Checkpoint(**content | changes)


@pytest.fixture
def parent(tmp_path, caplog) -> Path:
    caplog.set_level(logging.INFO, "pipeline.training")
    return tmp_path / "checkpoints"


def open_them(parent: Path, key: str = KEY, family: str = "underfit", pace: Pace = EVERY_EPOCH) -> Checkpoints:
    found = Checkpoints(parent, family, lambda: key, pace)
    found.look()
    return found


def write(parent: Path, key: str = KEY, family: str = "underfit", checkpoint: Checkpoint | None = None) -> Path:
    """The file of a checkpoint of a training that was killed."""
    killed = open_them(parent, key, family)
    killed.write("network", lambda seconds: checkpoint or make(seconds=seconds))
    return killed.folder / "network.npz"


class Clock:
    """In place of time.monotonic; writing takes `writing` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, writing: float) -> None:
        self.now, self._writing = 100.0, writing
        write_checkpoint = module.write_checkpoint
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "write_checkpoint", lambda *content: self._write(write_checkpoint, content))

    def _write(self, write: Callable[..., None], content: tuple[Any, ...]) -> None:
        write(*content)
        self.now += self._writing


class TestContent:
    def test_what_is_written_is_read_again(self, parent):
        write(parent)
        found = open_them(parent).load("network")
        whole = make()
        assert found.epochs == 3
        assert (found.callbacks, found.random) == (whole.callbacks, whole.random)
        assert found.history["loss"] == whole.history["loss"]
        assert np.isnan(found.history["val_loss"]).all()
        for one, other in zip([*found.variables, *found.best], [*whole.variables, *whole.best], strict=True):
            np.testing.assert_array_equal(one, other, strict=True)

    def test_there_may_be_no_other_best_weights_than_the_last_ones(self, parent):
        write(parent, checkpoint=make(best=None))
        assert open_them(parent).load("network").best is None

    def test_each_phase_has_its_own(self, parent):
        write(parent)
        assert open_them(parent).load("fine_tune") is None
        assert PhaseCheckpoints(open_them(parent), "network").first_epoch == 3
        assert PhaseCheckpoints(open_them(parent), "fine_tune").first_epoch == 0

    def test_the_seconds_of_all_processes_are_counted(self, parent, monkeypatch):
        clock = Clock(monkeypatch, writing=0.0)
        for expected in (0.0, 40.0, 80.0):
            training = open_them(parent)
            training.load("network")
            assert training.seconds_before == expected
            clock.now += 40.0
            training.write("network", lambda seconds: make(seconds=seconds))


class TestWhatIsNotUsed:
    @pytest.mark.parametrize("cut", [0, 1, 30, 200, -200, -30, -1])
    def test_a_file_that_is_cut_off(self, parent, cut, caplog):
        file = write(parent)
        file.write_bytes(file.read_bytes()[:cut])
        self._refuse(parent, file, caplog)

    def test_a_file_with_any_byte_changed_is_as_written_or_refused(self, parent):
        """A few bytes of a zip, such as its clock times, say nothing."""
        file, whole = write(parent), make()
        content = file.read_bytes()
        for place in range(0, len(content), 23):
            file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
            found = open_them(parent).load("network")
            assert found is None or found.history["loss"] == whole.history["loss"]
            if found is not None:
                for one, other in zip(found.variables, whole.variables, strict=True):
                    np.testing.assert_array_equal(one, other, strict=True)

    def test_a_pickle_is_not_loaded(self, parent, tmp_path, caplog):
        class Exploit:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "exploited",))

        file = write(parent)
        np.savez(file, content=np.array([Exploit()], object))
        self._refuse(parent, file, caplog)
        assert not (tmp_path / "exploited").exists()

    def _refuse(self, parent: Path, file: Path, caplog) -> None:
        caplog.clear()
        assert open_them(parent).load("network") is None
        (message,) = caplog.messages
        assert message.startswith(f"underfit: begins anew: the checkpoint {file} is damaged (")
        assert "\n" not in message
        assert not file.exists()

    def test_other_settings_have_another_folder(self, parent, caplog):
        file = write(parent)
        training = open_them(parent, OTHER_KEY)
        assert training.load("network") is None
        assert caplog.messages == [
            f"underfit: begins anew: its checkpoints in {parent} are of other settings, data or code"
        ]
        assert file.exists(), "whoever goes back to the earlier settings goes on there"

    def test_a_file_that_was_put_there_from_another_training(self, parent, caplog):
        file = write(parent)
        other = open_them(parent, OTHER_KEY)
        other.folder.mkdir()
        file.rename(other.folder / file.name)
        caplog.clear()
        assert open_them(parent, OTHER_KEY).load("network") is None
        assert caplog.messages == [
            f"underfit: begins anew: the checkpoint {other.folder / file.name} is of other settings, and is removed"
        ]
        assert not (other.folder / file.name).exists()

    def test_another_family_is_no_matter(self, parent, caplog):
        write(parent, family="overfit")
        assert open_them(parent).load("network") is None
        assert not caplog.messages


class TestPace:
    def train(
        self, monkeypatch, parent: Path, *, epoch: float, writing: float, epochs: int, **changes: Any
    ) -> list[int]:
        """After which epochs a checkpoint is written, from 1. epoch, writing: seconds."""
        clock = Clock(monkeypatch, writing)
        training, written = Checkpoints(parent, "underfit", lambda: KEY), []
        for number in range(1, epochs + 1):
            clock.now += epoch
            if training.is_due():
                before = clock.now
                training.write("network", lambda _: make(**changes))
                written += [number] * (clock.now > before)
        return written

    def test_a_short_training_writes_none_and_reads_no_data(self, monkeypatch, parent):
        other = write(parent, family="overfit")
        clock = Clock(monkeypatch, writing=0.1)
        training = Checkpoints(parent, "underfit", lambda: pytest.fail("the key was computed"))
        training.look()
        assert training.load("network") is None
        clock.now += 29.0
        assert not training.is_due()
        training.remove()
        assert [path.name for path in parent.iterdir()] == [other.parent.name]

    def test_long_epochs_have_one_each(self, monkeypatch, parent):
        assert self.train(monkeypatch, parent, epoch=100.0, writing=1.0, epochs=5) == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize(("epoch", "writing"), [(1.0, 0.1), (1.0, 0.5), (10.0, 1.0), (40.0, 2.0), (0.2, 0.01)])
    def test_writing_takes_less_than_3_percent_of_the_time(self, monkeypatch, parent, epoch, writing):
        epochs = 400
        written = self.train(monkeypatch, parent, epoch=epoch, writing=writing, epochs=epochs)
        assert written
        assert len(written) * writing < 0.03 * epochs * epoch

    def test_a_large_one_waits_longer_for_its_first_time(self, monkeypatch, parent):
        large = [np.zeros(50_000_000, np.float32)]  # 200 MB, of zeros that are not in memory
        monkeypatch.setattr(module, "write_checkpoint", lambda *_: None)
        written = self.train(monkeypatch, parent, epoch=10.0, writing=2.0, epochs=12, variables=large, best=None)
        assert written[0] == 10


class TestEnd:
    def test_success_removes_all_of_it(self, parent):
        file = write(parent)
        file.with_name("network-1.partial").touch()
        open_them(parent).remove()
        assert not parent.exists()

    def test_checkpoints_of_other_trainings_stay(self, parent):
        file = write(parent, OTHER_KEY)
        write(parent)
        open_them(parent).remove()
        assert [path.name for path in parent.iterdir()] == [file.parent.name]

    def test_of_trainings_that_never_ended_the_latest_stay(self, parent, monkeypatch):
        files = [write(parent, f"{number}" * 64) for number in range(5)]
        monkeypatch.setattr(module, "_MOST_TRAININGS", 3)
        for number, file in enumerate(files):
            os.utime(file.parent, (number, number))
        open_them(parent, "0" * 64)  # the oldest, which goes on now
        assert [file.exists() for file in files] == [True, False, True, True, True]

    def test_they_have_a_limit_in_bytes_too(self, parent, monkeypatch):
        files = [write(parent, f"{number}" * 64) for number in range(3)]
        for number, file in enumerate(files):
            os.utime(file.parent, (number, number))
        monkeypatch.setattr(module, "_MOST_BYTES", 2.5 * files[0].stat().st_size)
        open_them(parent, "2" * 64)
        assert [file.exists() for file in files] == [False, True, True]

    def test_what_a_killed_process_was_writing_goes_after_an_hour(self, parent):
        partial, recent = (write(parent).with_name(f"network-{name}.partial") for name in ("old", "new"))
        partial.touch()
        recent.touch()
        os.utime(partial, (0, 0))
        open_them(parent)
        assert (partial.exists(), recent.exists()) == (False, True)


class TestDisk:
    def test_a_full_disk_ends_no_training(self, parent, monkeypatch, caplog):
        file = write(parent)
        training = open_them(parent)

        def fail(handle: int) -> None:  # noqa: ARG001 - os.fsync's
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module.os, "fsync", fail)
        for _ in range(2):
            if training.is_due():
                training.write("network", lambda _: make(epochs=4))
        assert caplog.messages == [
            f"underfit: no checkpoint in {parent}: [Errno 28] No space left on device; training goes on without"
        ]
        assert [path.name for path in file.parent.iterdir()] == [file.name], "the one before it is whole"
        assert open_them(parent).load("network").epochs == 3
        training.remove()
        assert not parent.exists()

    def test_what_is_free_is_left_to_results(self, parent, monkeypatch, caplog):
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _: module.shutil._ntuple_diskusage(10, 10, 100))
        training = open_them(parent)
        training.write("network", lambda _: make())
        assert not training.is_due()
        assert "0 MB are free, 0 are needed" in caplog.text
        assert not list(parent.rglob("*.*"))

    def test_two_processes_may_train_the_same(self, parent):
        one, other = open_them(parent), open_them(parent)
        one.write("network", lambda _: make(epochs=5))
        one.remove()
        other.write("network", lambda _: make(epochs=4))
        assert open_them(parent).load("network").epochs == 4


def test_without_a_folder_there_are_none():
    assert (NO_PHASE.found, NO_PHASE.first_epoch, NO_PHASE.is_due()) == (None, 0, False)
    NO_CHECKPOINTS.look()
    NO_CHECKPOINTS.remove()
