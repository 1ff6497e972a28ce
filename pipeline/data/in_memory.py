"""Large arrays that TensorFlow takes as they are, without a copy. Imports TensorFlow only where a tensor is made.

`tf.constant` copies an array twice, so that for a moment it is in memory three times: once in NumPy, as the tensor shall not
change with the array, and once more, as NumPy's memory rarely begins where TensorFlow can use it.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_ALIGNMENT = 64  # bytes; TensorFlow ends the process where a tensor's memory begins between


def allocate(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array to be filled, which `share` takes without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)


def share(array: np.ndarray) -> "tf.Tensor":
    """The array as a tensor of this machine's memory, which is the array's own: nobody can write to that any more. Copied if
    it is not of `allocate`."""
    import tensorflow as tf

    is_fit = array.size and array.flags.c_contiguous and array.flags.writeable and not array.ctypes.data % _ALIGNMENT
    if not is_fit:
        return tf.constant(array)
    tensor = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    array.flags.writeable = False
    return tensor
