from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.tfrecords import list_shards, read_records
from tests.tfrecords import make_noise, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

NUM_IMAGES, BATCH_SIZE, STEPS, MOST = 23, 5, 5, 30
IMAGES = make_noise(NUM_IMAGES, 8)
NUMBERS = np.arange(NUM_IMAGES)  # the label of each image is its number, which identifies it
IN_MEMORY, STREAMED = 4.0, 0.0  # GB of cache
BOTH_WAYS = pytest.mark.parametrize("cache_gb", [IN_MEMORY, STREAMED])
CHANGES = {"flip": "both", "rotation": 0.1, "zoom": 0.2, "contrast": 0.3}


@pytest.fixture(scope="module")
def records(tensorflow, tmp_path_factory) -> Path:  # noqa: ARG001 - must be configured before it is imported
    """A folder with the records, which no test changes."""
    folder = tmp_path_factory.mktemp("records")
    names = [f"class {number:02d}" for number in NUMBERS]
    splits = {"train": (IMAGES, NUMBERS), "val": (IMAGES[:4], NUMBERS[:4])}
    write_records(folder / "data/tfrecords", class_names=names, num_shards=3, **splits)
    return folder


@pytest.fixture(autouse=True)
def _inside(records, monkeypatch):
    monkeypatch.chdir(records)


def read(split: str, **options) -> list[tuple[np.ndarray, np.ndarray]]:
    from pipeline.data.batches import read_batches

    return list(read_batches(split, **options).as_numpy_iterator())


def make_training(changes: dict[str, Any], options: dict[str, Any]) -> tuple[Any, int]:
    from pipeline.data.augmentation import Augmentation
    from pipeline.data.batches import make_training_batches

    defaults = {"batch_size": BATCH_SIZE, "seed": 1, "cache_gb": IN_MEMORY, "shuffle_buffer": 6}
    return make_training_batches(**defaults | options, augmentation=Augmentation(**changes))


def read_training(changes: dict[str, Any], options: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """As many batches as any test looks at."""
    return list(make_training(changes, options)[0].take(MOST).as_numpy_iterator())


@cache
def read_once(_: Path, changes: frozenset[tuple[str, Any]], options: frozenset[tuple[str, Any]]) -> list[Any]:
    """For all tests with the same settings in the same folder: to trace a graph takes longer than to read its images."""
    return read_training(dict(changes), dict(options))


def train_batches(num_batches: int, *, changes=None, anew=False, **options) -> list[tuple[np.ndarray, np.ndarray]]:
    """anew: not what another test may have read already."""
    if anew:
        return read_training(changes or {}, options)[:num_batches]
    return read_once(Path.cwd(), frozenset((changes or {}).items()), frozenset(options.items()))[:num_batches]


def train_epochs(num_epochs: int, **options) -> list[list[int]]:
    """The numbers of the images in the order of each epoch."""
    batches = train_batches(num_epochs * STEPS, **options)
    order = [label for _, labels in batches for label in labels.tolist()]
    return [order[start : start + NUM_IMAGES] for start in range(0, len(order), NUM_IMAGES)]


def by_number(batches) -> dict[int, np.ndarray]:
    return {int(label): image for images, labels in batches for image, label in zip(images, labels, strict=True)}


class TestReadBatches:
    def test_every_image_comes_once_in_the_order_of_the_files(self):
        batches = read("train", batch_size=4)
        np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), IMAGES)
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), NUMBERS)

    @pytest.mark.parametrize(
        ("batch_size", "sizes"), [(10, [10, 10, 3]), (23, [23]), (100, [23]), (22, [22, 1]), (1, [1] * 23)]
    )
    def test_the_last_batch_may_be_smaller(self, batch_size, sizes):
        assert [len(labels) for _, labels in read("train", batch_size=batch_size)] == sizes

    def test_the_number_of_batches_is_known_beforehand(self):
        from pipeline.data.batches import read_batches

        assert int(read_batches("train", batch_size=10).cardinality()) == 3

    def test_pixels_are_uint8_and_labels_int64(self):
        images, labels = read("val", batch_size=4)[0]
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        assert images.shape == (4, 8, 8, 3)

    def test_each_split_is_read_alone(self):
        assert len(read("val", batch_size=100)[0][1]) == 4

    def test_a_whole_split_can_be_loaded(self):
        from pipeline.data.batches import load_split

        images, labels = load_split("train")
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, NUMBERS)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)

    def test_names_come_in_the_same_order(self):
        from pipeline.data.batches import read_names

        ids, names = read_names("train")
        assert ids == [f"train-id-{number}" for number in NUMBERS]
        assert names == [f"class {number:02d}/{number}.png" for number in NUMBERS]


class TestReadImages:
    """The three files have eight, eight and seven images."""

    @pytest.mark.parametrize(
        "rows",
        [[0], [22], [7, 8], [22, 0, 11], [5, 5, 3, 5], list(range(NUM_IMAGES)), list(reversed(range(NUM_IMAGES)))],
    )
    def test_they_are_in_the_order_of_rows(self, rows):
        from pipeline.data.batches import read_images

        images = read_images("train", rows)
        np.testing.assert_array_equal(images, IMAGES[rows])
        assert images.dtype == np.uint8

    def test_rows_are_positions_within_a_split(self):
        from pipeline.data.batches import read_images

        np.testing.assert_array_equal(read_images("val", [3, 1]), IMAGES[[3, 1]])

    def test_rows_are_positions_in_the_order_of_names_and_batches(self):
        from pipeline.data.batches import read_images, read_names

        row = read_names("train")[1].index("class 17/17.png")
        (batch,) = read("train", batch_size=100)
        np.testing.assert_array_equal(read_images("train", [row])[0], batch[0][row])

    def test_they_can_be_read_from_another_folder(self, tmp_path):
        from pipeline.data.batches import read_images

        other = make_noise(3, 4, seed=9)
        write_records(tmp_path / "other", class_names=["one"], test=(other, np.zeros(3, int)))
        np.testing.assert_array_equal(read_images("test", [2, 0], folder=tmp_path / "other"), other[[2, 0]])


class TestTrainingBatches:
    @BOTH_WAYS
    def test_each_epoch_has_every_image_exactly_once(self, cache_gb):
        for epoch in train_epochs(3, cache_gb=cache_gb):
            assert sorted(epoch) == NUMBERS.tolist()

    @BOTH_WAYS
    def test_each_epoch_has_its_own_order(self, cache_gb):
        orders = train_epochs(3, cache_gb=cache_gb)
        assert len({tuple(order) for order in [*orders, NUMBERS]}) == 4

    @BOTH_WAYS
    def test_labels_stay_with_their_images(self, cache_gb):
        for number, image in by_number(train_batches(STEPS, cache_gb=cache_gb)).items():
            np.testing.assert_array_equal(image, IMAGES[number])

    @BOTH_WAYS
    def test_the_seed_determines_the_order(self, cache_gb):
        first, other = (train_epochs(2, cache_gb=cache_gb, seed=seed) for seed in (1, 2))
        again = train_epochs(2, cache_gb=cache_gb, seed=1, anew=True)
        assert first == again
        assert first != other

    @BOTH_WAYS
    @pytest.mark.parametrize("changes", [{}, CHANGES])
    def test_a_resumed_run_sees_what_an_uninterrupted_one_would(self, cache_gb, changes):
        unbroken = train_batches(4 * STEPS, cache_gb=cache_gb, changes=changes)[2 * STEPS :]
        resumed = train_batches(2 * STEPS, cache_gb=cache_gb, changes=changes, first_epoch=2)
        for (images, labels), (same_images, same_labels) in zip(unbroken, resumed, strict=True):
            np.testing.assert_array_equal(images, same_images)
            np.testing.assert_array_equal(labels, same_labels)

    @BOTH_WAYS
    def test_no_batch_has_images_of_two_epochs(self, cache_gb):
        sizes = [len(labels) for _, labels in train_batches(2 * STEPS, cache_gb=cache_gb)]
        assert sizes == [5, 5, 5, 5, 3] * 2

    @pytest.mark.parametrize(("batch_size", "steps"), [(1, 23), (5, 5), (22, 2), (23, 1), (100, 1)])
    def test_the_number_of_batches_per_epoch_is_returned(self, batch_size, steps):
        assert make_training({}, {"batch_size": batch_size})[1] == steps

    @BOTH_WAYS
    def test_pixels_are_uint8_unless_they_are_augmented(self, cache_gb):
        ((images, labels),) = train_batches(1, cache_gb=cache_gb)
        ((changed, _),) = train_batches(1, cache_gb=cache_gb, changes=CHANGES)
        assert (images.dtype, labels.dtype, changed.dtype) == (np.uint8, np.int64, np.float32)

    @BOTH_WAYS
    @pytest.mark.parametrize("changes", [{}, CHANGES])
    def test_batches_are_plain_tuples_as_keras_needs_them(self, cache_gb, changes):
        (batch,) = train_batches(1, cache_gb=cache_gb, changes=changes)
        assert type(batch) is tuple

    def test_in_memory_a_batch_mixes_images_of_all_files(self):
        assert np.ptp(train_batches(1)[0][1]) > 8  # a file has eight images

    def test_the_shuffle_buffer_may_be_larger_than_the_split(self):
        assert sorted(train_epochs(1, cache_gb=STREAMED, shuffle_buffer=10_000)[0]) == NUMBERS.tolist()

    @pytest.mark.parametrize("seed", [0, 2**32 - 1])
    def test_the_smallest_and_the_largest_seed_work(self, seed):
        assert sorted(train_epochs(1, seed=seed)[0]) == NUMBERS.tolist()


UNEQUAL = np.repeat([0, 1, 2], [14, 6, 3])


@pytest.fixture(scope="module")
def unequal(records) -> Path:
    """A folder with records of classes of different sizes, and of a class without images."""
    folder = records / "unequal"
    write_records(folder / "data/tfrecords", class_names=["a", "b", "c", "d"], num_shards=3, train=(IMAGES, UNEQUAL))
    return folder


class TestOversampling:
    LABELS = UNEQUAL
    TOTAL, STEPS = 42, 9

    @pytest.fixture(autouse=True)
    def _inside_unequal(self, unequal, monkeypatch):
        monkeypatch.chdir(unequal)

    def epochs(self, count: int, **options) -> list[tuple[np.ndarray, np.ndarray]]:
        """(images, labels) of each."""
        batches = train_batches(count * self.STEPS, oversample=True, **options)
        parts = [batches[start : start + self.STEPS] for start in range(0, len(batches), self.STEPS)]
        return [tuple(np.concatenate(values) for values in zip(*part, strict=True)) for part in parts]

    def count(self, images: np.ndarray) -> list[int]:
        """How often each image is among them."""
        return [int((images == image).all(axis=(1, 2, 3)).sum()) for image in IMAGES]

    @BOTH_WAYS
    def test_each_epoch_has_every_image_and_each_class_equally_often(self, cache_gb):
        for images, labels in self.epochs(3, cache_gb=cache_gb):
            assert np.bincount(labels).tolist() == [14, 14, 14]
            times = self.count(images)
            assert times[:14] == [1] * 14
            assert sorted(times[14:20]) == [2, 2, 2, 2, 3, 3]
            assert sorted(times[20:]) == [4, 5, 5]

    @BOTH_WAYS
    def test_labels_stay_with_their_images(self, cache_gb):
        ((images, labels),) = self.epochs(1, cache_gb=cache_gb)
        for image, label in zip(images, labels, strict=True):
            assert label == self.LABELS[int((image == IMAGES).all(axis=(1, 2, 3)).argmax())]

    @BOTH_WAYS
    def test_which_are_repeated_and_the_order_depend_on_seed_and_epoch(self, cache_gb):
        first, other = (self.epochs(2, cache_gb=cache_gb, seed=seed) for seed in (1, 2))
        again = self.epochs(2, cache_gb=cache_gb, seed=1, anew=True)
        np.testing.assert_array_equal(first[1][0], again[1][0])
        assert self.count(first[0][0]) != self.count(first[1][0])
        assert self.count(first[0][0]) != self.count(other[0][0])

    @BOTH_WAYS
    def test_a_resumed_run_sees_what_an_uninterrupted_one_would(self, cache_gb):
        unbroken = self.epochs(2, cache_gb=cache_gb, changes=CHANGES)[1]
        (resumed,) = self.epochs(1, cache_gb=cache_gb, changes=CHANGES, first_epoch=1)
        np.testing.assert_array_equal(unbroken[0], resumed[0])

    @BOTH_WAYS
    def test_each_copy_is_augmented_in_its_own_way(self, cache_gb):
        ((images, _),) = self.epochs(1, cache_gb=cache_gb, changes=CHANGES)
        assert len({image.tobytes() for image in images}) == self.TOTAL

    def test_copies_are_the_same_in_memory_and_from_files(self):
        cached, streamed = (self.epochs(1, cache_gb=gb, changes=CHANGES)[0][0] for gb in (IN_MEMORY, STREAMED))
        ordered = [images[np.lexsort(images.reshape(self.TOTAL, -1)[:, ::-1].T)] for images in (cached, streamed)]
        np.testing.assert_allclose(*ordered, atol=1e-3)

    @BOTH_WAYS
    def test_of_equal_classes_each_image_comes_once(self, cache_gb):
        assert sorted(train_epochs(1, cache_gb=cache_gb)[0]) == sorted(self.LABELS.tolist())


class TestTargets:
    """Further rows of each image, as a teacher's probabilities."""

    @pytest.mark.parametrize("folder", ["", "unequal"])
    @BOTH_WAYS
    def test_they_stay_with_their_images_and_labels(self, unequal, monkeypatch, cache_gb, folder):
        """Also with copies of images, of which each has those of the image."""
        monkeypatch.chdir(unequal.parent / folder)
        labels, num_classes = (UNEQUAL, 4) if folder else (NUMBERS, NUM_IMAGES)
        targets = np.stack([NUMBERS + 0.25, NUMBERS + 0.5], axis=1).astype(np.float32)
        options = {"cache_gb": cache_gb, "oversample": bool(folder), "targets": targets}
        for images, rows in train_batches(MOST, anew=True, **options):
            assert rows.shape[1] == num_classes + 2
            for image, row in zip(images, rows, strict=True):
                number = int((image == IMAGES).all(axis=(1, 2, 3)).argmax())
                assert row[num_classes:].tolist() == targets[number].tolist()
                assert row[:num_classes].tolist() == np.eye(num_classes)[labels[number]].tolist()

    def test_of_mixed_images_they_are_mixed_in_the_same_shares(self):
        targets = np.eye(NUM_IMAGES, dtype=np.float32)
        changes = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0, "mixup": 1.0}
        rows = np.concatenate([rows for _, rows in train_batches(STEPS, changes=changes, anew=True, targets=targets)])
        assert (rows[:, :NUM_IMAGES] == rows[:, NUM_IMAGES:]).all()
        assert (rows.max(axis=1) < 1.0).any()


class TestAugmentedBatches:
    def test_the_augmentation_of_an_image_does_not_depend_on_its_batch(self):
        small = by_number(train_batches(8, batch_size=3, changes=CHANGES))
        large = by_number(train_batches(1, batch_size=100, changes=CHANGES))
        assert sorted(small) == sorted(large) == NUMBERS.tolist()
        for number in NUMBERS:
            np.testing.assert_allclose(small[number], large[number], atol=1e-3)

    def test_nor_on_whether_the_split_is_kept_in_memory(self):
        cached, streamed = (by_number(train_batches(STEPS, changes=CHANGES, cache_gb=gb)) for gb in (4.0, 0.0))
        for number in NUMBERS:
            np.testing.assert_allclose(cached[number], streamed[number], atol=1e-3)

    def test_each_epoch_augments_an_image_differently(self):
        batches = train_batches(2, batch_size=100, changes=CHANGES)
        first, second = by_number(batches[:1]), by_number(batches[1:])
        assert all(np.abs(first[number] - second[number]).max() > 1 for number in NUMBERS)


@pytest.mark.parametrize(("encoding", "quality", "cache_gb"), [("jpeg", 90, IN_MEMORY), ("webp", 100, STREAMED)])
def test_encoded_pixels_are_decoded_whichever_way_they_are_read(tmp_path, monkeypatch, encoding, quality, cache_gb):
    from pipeline.data.batches import load_split, read_images

    monkeypatch.chdir(tmp_path)
    names = [f"class {number:02d}" for number in NUMBERS]
    write_records(class_names=names, encoding=encoding, quality=quality, train=(IMAGES, NUMBERS))
    records = [record for file in list_shards("train") for record in read_records(file, 8, encoding)]
    expected = np.stack([record.pixels for record in records])
    assert (expected == IMAGES).all() == (quality == 100)
    assert (load_split("train")[0] == expected).all()
    assert (read_images("train", [20, 3, 20]) == expected[[20, 3, 20]]).all()
    batches, steps = make_training({}, {"cache_gb": cache_gb})
    for images, labels in batches.take(steps).as_numpy_iterator():
        assert (images == expected[labels]).all()


class TestPart:
    """What a worker of a cluster reads: some batches of a split, the bits that all of it has there."""

    @pytest.mark.parametrize(("first", "size"), [(0, 23), (0, 10), (5, 10), (10, 5), (20, 3)])
    def test_the_messages_of_a_part_are_those_of_its_images(self, first, size):
        from pipeline.data.tfrecords import read_messages

        whole = list(read_messages("train", 0, NUM_IMAGES))
        assert len(set(whole)) == NUM_IMAGES
        assert list(read_messages("train", first, size)) == whole[first : first + size]

    @pytest.mark.parametrize("view", [0, 1, -1])
    @pytest.mark.parametrize(("first", "size"), [(0, 10), (10, 13)])
    def test_batches_of_a_part_are_those_of_the_whole_split(self, view, first, size):
        """Shards end within batches: 8, 8 and 7 images, in batches of 5."""
        from pipeline.data.augmentation import Augmentation
        from pipeline.data.batches import Part, read_views

        how = {"batch_size": BATCH_SIZE, "seed": 1, "augmentation": Augmentation(**CHANGES)}
        whole = list(read_views("train", view, **how).as_numpy_iterator())
        part = list(read_views("train", view, part=Part(first, size), **how).as_numpy_iterator())
        expected = whole[first // BATCH_SIZE : -(-(first + size) // BATCH_SIZE)]
        assert len(part) == len(expected)
        for (images, labels), (other, others) in zip(part, expected, strict=True):
            assert images.tobytes() == other.tobytes()
            assert labels.tolist() == others.tolist()
