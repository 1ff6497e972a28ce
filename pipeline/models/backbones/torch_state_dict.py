"""Reads tensors from a PyTorch state dict in the old format (before 1.6), without PyTorch and without trusting a pickle.

A pickle may call anything: this one may only use the names that tensors need, and each of them runs code from here. The
format: five pickles (magic number, version, sizes of types, tensors, keys of storages), then each storage as its length
(int64) and its numbers (torch/serialization.py, `_legacy_load`).
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from pipeline.runtime.errors import PipelineError

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class _StorageType(NamedTuple):
    dtype: str


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def load_torch_tensors(file: Path) -> dict[str, np.ndarray]:
    """Name to array, in the shapes of the file. Raises PipelineError for anything but tensors of numbers."""
    try:
        with file.open("rb") as content:
            return _read(content, file.stat().st_size)
    except FileNotFoundError as error:
        raise PipelineError(f"{file} is not here: expected a file of PyTorch weights") from error
    except Exception as error:  # on a damaged file the unpickler raises anything
        reason = str(error) if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}"
        raise PipelineError(f"{file} is not a PyTorch state dict of tensors alone, or is damaged: {reason}") from error


def _read(content: BinaryIO, file_size: int) -> dict[str, np.ndarray]:
    if _load_plain(content) != _MAGIC or _load_plain(content) != _VERSION:
        raise pickle.UnpicklingError("expected PyTorch's old format")
    if _load_plain(content)["little_endian"] is not True:
        raise pickle.UnpicklingError("expected little-endian numbers")
    tensors = _TensorUnpickler(content).load()
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    arrays = {}
    for key in _load_plain(content):
        storage = storages[key]
        size = int.from_bytes(content.read(8), "little")
        if size != storage.size or size * storage.dtype.itemsize > file_size - content.tell():
            raise pickle.UnpicklingError(f"storage {key!a} has {size} numbers where {storage.size} were announced")
        arrays[key] = np.frombuffer(content.read(size * storage.dtype.itemsize), storage.dtype)
    if content.read(1):
        raise pickle.UnpicklingError("expected nothing after the last storage")
    return {name: _cut(arrays[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _cut(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
    if 0 in tensor.shape:
        return np.empty(tensor.shape, numbers.dtype)
    last = tensor.offset + sum((length - 1) * step for length, step in zip(tensor.shape, tensor.stride, strict=True))
    if last >= len(numbers):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    steps = [step * numbers.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps, writeable=False)


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, strings, lists and dicts."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{f'{module}.{name}'!a} is refused: only tensors may be in it")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"expected no storage here, received {pid!r}")


def _load_plain(content: BinaryIO) -> Any:
    return _PlainUnpickler(content).load()


class _TensorUnpickler(_PlainUnpickler):
    """The same, and tensors, as descriptions of where their numbers are."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe_tensor
        if module == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _, size, view = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or view is not None:
            raise pickle.UnpicklingError("expected a plain storage")
        return _Storage(np.dtype(storage_type.dtype), str(key), int(size))


def _describe_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in (offset, *shape, *stride)):
        raise pickle.UnpicklingError("expected a tensor")
    return _Tensor(storage, offset, tuple(shape), tuple(stride))
