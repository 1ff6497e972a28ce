import gc

import numpy as np
import pytest

from pipeline.data.in_memory import allocate, share

pytestmark = pytest.mark.usefixtures("tensorflow")

DTYPES = [np.uint8, np.float16, np.float32, np.int64]


def fill(array: np.ndarray) -> np.ndarray:
    array[:] = np.random.default_rng(0).integers(0, 100, array.shape)
    return array


def get_address(tensor) -> int:
    return np.from_dlpack(tensor).ctypes.data


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 3), (2, 5, 5, 3), (1,)])
def test_an_allocated_array_becomes_a_tensor_over_the_same_memory(dtype, shape):
    array = fill(allocate(shape, dtype))
    assert (array.shape, array.dtype) == (shape, dtype)
    tensor = share(array)
    assert (tuple(tensor.shape), tensor.dtype.as_numpy_dtype) == (shape, dtype)
    assert get_address(tensor) == array.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_nothing_can_be_written_to_it_then():
    array = fill(allocate((3, 3), np.uint8))
    share(array)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_the_tensor_keeps_the_memory_when_the_array_is_gone():
    array = fill(allocate((1000, 30), np.float32))
    expected, tensor = array.copy(), share(array)
    del array
    gc.collect()
    fill(allocate((1000, 30), np.float32))[:] = -1
    np.testing.assert_array_equal(tensor.numpy(), expected)


def _misaligned() -> np.ndarray:
    return fill(allocate((65,), np.uint8))[1:]


def _read_only() -> np.ndarray:
    array = fill(allocate((64,), np.uint8))
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "make",
    [_misaligned, _read_only, lambda: fill(allocate((4, 4), np.uint8)).T, lambda: allocate((0, 3), np.uint8)],
    ids=["begins elsewhere", "read-only", "not in order", "empty"],
)
def test_another_array_is_copied(make):
    array = make()
    tensor = share(array)
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert not array.size or get_address(tensor) != array.ctypes.data


def test_a_pipeline_gathers_from_it():
    import tensorflow as tf

    array = fill(allocate((50, 4), np.float32))
    tensor = share(array)
    rows = np.array([3, 49, 3, 0])
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(3).map(lambda chosen: tf.gather(tensor, chosen))
    np.testing.assert_array_equal(np.concatenate([batch.numpy() for batch in batches]), array[rows])
