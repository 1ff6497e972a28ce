"""The files are written here, byte by byte, as PyTorch wrote them before 1.6; PyTorch itself is not installed."""

import io
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from pipeline.models.backbones.torch_state_dict import load_torch_tensors
from pipeline.runtime.errors import PipelineError

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
STORAGE_TYPES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "uint8": "ByteStorage",
}


def make_torch() -> dict[str, ModuleType]:
    """As much of PyTorch as pickle wants to see before it writes a name."""
    modules = {name: ModuleType(name) for name in ("torch", "torch._utils")}
    names = [("torch", storage) for storage in STORAGE_TYPES.values()] + [("torch._utils", "_rebuild_tensor_v2")]
    for module, name in names:
        setattr(modules[module], name, type(name, (), {"__module__": module}))
    return modules


TORCH = make_torch()


@dataclass(frozen=True)
class Storage:
    """announced: how many numbers the state dict says it has, where that is not true."""

    numbers: np.ndarray
    key: str = "0"
    announced: int | None = None
    kind: str = "storage"
    place: str = "cpu"
    view: Any = None


@dataclass(frozen=True)
class Tensor:
    storage: Any
    shape: Any
    stride: Any
    offset: Any = 0

    def __reduce__(self) -> tuple:
        parts = (self.storage, self.offset, self.shape, self.stride, False, OrderedDict())
        return TORCH["torch._utils"]._rebuild_tensor_v2, parts


class TorchPickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, storages: dict[str, Storage]) -> None:
        super().__init__(file, protocol=2)
        self.storages = storages

    def persistent_id(self, value: Any) -> tuple | None:
        if not isinstance(value, Storage):
            return None
        self.storages[value.key] = value
        storage_type = getattr(TORCH["torch"], STORAGE_TYPES[value.numbers.dtype.name])
        size = len(value.numbers) if value.announced is None else value.announced
        return value.kind, storage_type, value.key, value.place, size, value.view


def encode(
    state: Any,
    *,
    magic: Any = MAGIC,
    version: Any = VERSION,
    system: Any = SYSTEM,
    keys: Any = None,
    lengths: dict[str, int] | None = None,
) -> bytes:
    """A file of PyTorch's old format. lengths: of storages, by key, where the file is to lie about them."""
    file, storages = io.BytesIO(), {}
    with patch.dict(sys.modules, TORCH):
        for part in (magic, version, system, state):
            TorchPickler(file, storages).dump(part)
        TorchPickler(file, {}).dump(sorted(storages) if keys is None else keys)
    for key, storage in sorted(storages.items()):
        length = (lengths or {}).get(key, len(storage.numbers))
        file.write(length.to_bytes(8, "little") + storage.numbers.tobytes())
    return file.getvalue()


def tensor_of(array: np.ndarray, key: str = "0") -> Tensor:
    """A tensor that has its storage for itself, in the order of C."""
    stride = tuple(step // array.itemsize for step in array.strides)
    return Tensor(Storage(array.reshape(-1), key), array.shape, stride)


NUMBERS = np.arange(6, dtype=np.float32)


def make_state() -> dict[str, Tensor]:
    return OrderedDict(weight=tensor_of(NUMBERS.reshape(2, 3), "7"), steps=tensor_of(np.array([3, -4]), "8"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.pth"


def load(file: Path, data: bytes) -> dict[str, np.ndarray]:
    file.write_bytes(data)
    return load_torch_tensors(file)


def refusal(file: Path, data: bytes | None) -> str:
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(PipelineError) as caught:
        load_torch_tensors(file)
    line = str(caught.value)
    assert "\n" not in line
    assert str(file) in line
    return line


class TestTensors:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32"])
    def test_numbers_come_back_with_their_type(self, file, dtype):
        numbers = np.array([[0, 1, -2], [3, 1000, -7]], dtype)
        loaded = load(file, encode({"weight": tensor_of(numbers)}))["weight"]
        assert loaded.dtype == numbers.dtype
        np.testing.assert_array_equal(loaded, numbers)

    @pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.float32(1e-45), -0.0])
    def test_floats_come_back_to_the_bit(self, file, value):
        numbers = np.array([value], np.float32)
        assert load(file, encode({"weight": tensor_of(numbers)}))["weight"].tobytes() == numbers.tobytes()

    @pytest.mark.parametrize("shape", [(6,), (2, 3), (3, 2), (1, 6, 1), (1, 1, 2, 3)])
    def test_any_shape_goes(self, file, shape):
        loaded = load(file, encode({"weight": tensor_of(NUMBERS.reshape(shape))}))["weight"]
        np.testing.assert_array_equal(loaded, NUMBERS.reshape(shape))

    def test_a_single_number_has_no_axis(self, file):
        loaded = load(file, encode({"num_batches_tracked": tensor_of(np.array(12345))}))["num_batches_tracked"]
        assert loaded.shape == ()
        assert loaded == 12345

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
    def test_a_tensor_without_numbers_goes(self, file, shape):
        assert load(file, encode({"weight": tensor_of(np.empty(shape, np.float32))}))["weight"].shape == shape

    def test_a_transposed_tensor_is_read_along_its_strides(self, file):
        loaded = load(file, encode({"weight": Tensor(Storage(NUMBERS), (3, 2), (1, 3))}))["weight"]
        np.testing.assert_array_equal(loaded, [[0, 3], [1, 4], [2, 5]])

    def test_a_tensor_may_skip_numbers(self, file):
        loaded = load(file, encode({"weight": Tensor(Storage(NUMBERS), (2,), (3,), offset=2)}))["weight"]
        np.testing.assert_array_equal(loaded, [2, 5])

    def test_two_tensors_may_share_a_storage(self, file):
        shared = Storage(NUMBERS)
        state = {"first": Tensor(shared, (2, 2), (2, 1)), "second": Tensor(shared, (2,), (1,), offset=4)}
        loaded = load(file, encode(state))
        np.testing.assert_array_equal(loaded["first"], [[0, 1], [2, 3]])
        np.testing.assert_array_equal(loaded["second"], [4, 5])

    def test_each_tensor_gets_its_own_storage_under_its_own_name(self, file):
        loaded = load(file, encode(make_state()))
        assert list(loaded) == ["weight", "steps"]
        np.testing.assert_array_equal(loaded["weight"], NUMBERS.reshape(2, 3))
        np.testing.assert_array_equal(loaded["steps"], [3, -4])

    def test_storages_are_taken_in_the_order_of_the_list_of_keys(self, file):
        ones, twos = Storage(np.ones(2, np.float32), "1"), Storage(np.full(2, 2, np.float32), "2")
        state = {"twos": Tensor(twos, (2,), (1,)), "ones": Tensor(ones, (2,), (1,))}
        loaded = load(file, encode(state, keys=["1", "2"]))
        assert (loaded["ones"].tolist(), loaded["twos"].tolist()) == ([1, 1], [2, 2])

    def test_a_network_without_weights_has_no_tensors(self, file):
        assert load(file, encode(OrderedDict())) == {}

    def test_what_pytorch_hangs_on_a_state_dict_is_passed_over(self, file):
        state = make_state()
        state._metadata = OrderedDict({"": {"version": 1}})
        assert list(load(file, encode(state))) == ["weight", "steps"]

    def test_it_does_not_matter_on_which_device_a_storage_lay(self, file):
        loaded = load(file, encode({"weight": Tensor(Storage(NUMBERS, place="cuda:0"), (6,), (1,))}))["weight"]
        np.testing.assert_array_equal(loaded, NUMBERS)


class Calls:
    """Pickled as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file that code in a pickle would leave."""
    return tmp_path / "ran"


CODE = {
    "system": lambda trace: Calls(os.system, f"touch {trace}"),
    "eval": lambda trace: Calls(eval, f"open({str(trace)!r}, 'w').close()"),
    "exec": lambda trace: Calls(exec, f"open({str(trace)!r}, 'w').close()"),
}
EVERY_CODE = pytest.mark.parametrize("code", CODE)


class TestCode:
    @EVERY_CODE
    def test_pickle_itself_would_run_it(self, trace, code):
        pickle.loads(pickle.dumps(CODE[code](trace), protocol=2))
        assert trace.exists()

    @EVERY_CODE
    @pytest.mark.parametrize("place", ["magic", "version", "system", "state", "keys"])
    def test_it_does_not_run_from_any_of_the_pickles(self, file, trace, code, place):
        parts = {"state": make_state()} | {place: CODE[code](trace)}
        line = refusal(file, encode(**parts))
        assert f".{code}' is refused" in line
        assert not trace.exists()

    @EVERY_CODE
    def test_it_does_not_run_in_place_of_a_tensor(self, file, trace, code):
        refusal(file, encode(make_state() | {"bias": CODE[code](trace)}))
        assert not trace.exists()

    @EVERY_CODE
    def test_it_does_not_run_from_within_a_tensor(self, file, trace, code):
        refusal(file, encode({"weight": Tensor(Storage(NUMBERS), CODE[code](trace), (1,))}))
        assert not trace.exists()

    @pytest.mark.parametrize(
        ("function", "name"),
        [
            (getattr, ".getattr"),
            (Path, f"{Path.__module__}.Path"),
            (np.zeros, "numpy.zeros"),
            (bytearray, ".bytearray"),
        ],
    )
    def test_any_name_but_those_of_tensors_is_refused_by_a_line_that_names_it(self, file, function, name):
        assert f"{name}' is refused" in refusal(file, encode({"weight": Calls(function, 3)}))

    def test_a_storage_of_a_kind_that_networks_do_not_have_is_refused(self, file):
        line = refusal(file, encode({"weight": tensor_of(np.arange(3, dtype=np.uint8))}))
        assert "torch.ByteStorage' is refused" in line

    @pytest.mark.parametrize("name", ["FloatStorage.mro", "OrderedDict.fromkeys"])
    def test_what_hangs_on_an_allowed_name_is_refused(self, file, name):
        module = "collections" if name.startswith("Ordered") else "torch"
        assert f"{module}.{name}' is refused" in refusal(file, pickle_of_name(module, name))

    def test_a_name_with_a_line_break_is_still_refused_in_one_line(self, file):
        refusal(file, pickle_of_name("os\nall is well:", "system"))


def pickle_of_name(module: str, name: str) -> bytes:
    texts = b"".join(pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode() for text in (module, name))
    start = b"".join(pickle.dumps(part, protocol=2) for part in (MAGIC, VERSION, SYSTEM))
    return start + pickle.PROTO + b"\x04" + texts + pickle.STACK_GLOBAL + pickle.STOP


class TestOtherFiles:
    def test_a_missing_file_is_one_line(self, file):
        assert "is not here" in refusal(file, None)

    def test_a_folder_is_one_line(self, file):
        file.mkdir()
        refusal(file, None)

    @pytest.mark.parametrize("data", [b"", b"hello\n", b"\x89HDF\r\n\x1a\n", b"<html>404</html>", bytes(1000)])
    def test_something_else_is_one_line(self, file, data):
        refusal(file, data)

    def test_the_new_format_which_is_a_zip_is_one_line(self, file):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("net/data.pkl", pickle.dumps({}))
            archive.writestr("net/data/0", bytes(24))
        refusal(file, None)

    def test_a_plain_pickle_is_one_line(self, file):
        assert "expected PyTorch's old format" in refusal(file, pickle.dumps({"weight": [1.0, 2.0]}))

    @pytest.mark.parametrize("magic", [MAGIC + 1, 0, "magic", None, [MAGIC]])
    def test_another_magic_number_is_refused(self, file, magic):
        assert "expected PyTorch's old format" in refusal(file, encode(make_state(), magic=magic))

    @pytest.mark.parametrize("version", [1000, 1002, None])
    def test_another_version_is_refused(self, file, version):
        assert "expected PyTorch's old format" in refusal(file, encode(make_state(), version=version))

    def test_big_endian_numbers_are_refused(self, file):
        line = refusal(file, encode(make_state(), system=SYSTEM | {"little_endian": False}))
        assert "expected little-endian numbers" in line

    @pytest.mark.parametrize("system", [{}, None, [], {"little_endian": 1}])
    def test_a_machine_that_does_not_say_is_refused(self, file, system):
        refusal(file, encode(make_state(), system=system))

    @pytest.mark.parametrize(
        "state", [None, 3, [], [NUMBERS.tolist()], {"weight": 3}, {"weight": None}, {"net": {"weight": 3}}]
    )
    def test_anything_but_names_with_tensors_is_refused(self, file, state):
        refusal(file, encode(state))


class TestDamage:
    def test_a_file_cut_short_anywhere_is_refused(self, file):
        data = encode(make_state())
        for kept in range(len(data)):
            refusal(file, data[:kept])

    def test_a_changed_byte_anywhere_is_refused_or_changes_a_value_but_never_breaks_out(self, file):
        data = encode(make_state())
        lines = []
        for place in range(len(data)):
            file.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
            try:
                load_torch_tensors(file)
            except PipelineError as error:
                lines.append(str(error))
        assert len(lines) > len(data) / 2
        assert not [line for line in lines if "\n" in line]

    @pytest.mark.parametrize("tail", [b"\0", bytes(8), encode(make_state())])
    def test_bytes_after_the_end_are_refused(self, file, tail):
        assert "expected nothing after the last storage" in refusal(file, encode(make_state()) + tail)

    @pytest.mark.parametrize("announced", [0, 5, 7, 2**62, -6])
    def test_a_storage_of_another_length_than_announced_is_refused(self, file, announced):
        state = {"weight": Tensor(Storage(NUMBERS, announced=announced), (1,), (1,))}
        assert "6 numbers where" in refusal(file, encode(state))

    @pytest.mark.parametrize("length", [7, 2**40, 2**61, 2**64 - 1])
    def test_a_storage_longer_than_the_file_is_refused_whatever_was_announced(self, file, length):
        state = {"weight": Tensor(Storage(NUMBERS, announced=length), (1,), (1,))}
        refusal(file, encode(state, lengths={"0": length}))

    @pytest.mark.parametrize("keys", [[], ["8"], ["7", "8", "9"], [7, 8], None, 3])
    def test_a_list_of_keys_that_does_not_fit_is_refused(self, file, keys):
        data = encode(make_state())
        wrong = encode(make_state(), keys=keys if keys is not None else {})
        assert wrong != data
        refusal(file, wrong)


class TestReach:
    @pytest.mark.parametrize(
        ("shape", "stride", "offset"),
        [
            ((7,), (1,), 0),
            ((6,), (1,), 1),
            ((1,), (1,), 6),
            ((), (), 6),
            ((2, 4), (4, 1), 0),
            ((2, 3), (4, 1), 0),
            ((2,), (2**62,), 0),
            ((2**31, 2**31), (2**31, 1), 0),
            ((1,), (1,), 2**62),
        ],
    )
    def test_a_tensor_that_reaches_beyond_its_storage_is_refused(self, file, shape, stride, offset):
        line = refusal(file, encode({"weight": Tensor(Storage(NUMBERS), shape, stride, offset)}))
        assert "a tensor reaches beyond its storage" in line

    def test_the_last_number_is_within_reach(self, file):
        assert load(file, encode({"weight": Tensor(Storage(NUMBERS), (1,), (1,), offset=5)}))["weight"] == [5]

    @pytest.mark.parametrize(
        ("shape", "stride", "offset"), [((2,), (1,), -1), ((2,), (-1,), 3), ((-2,), (1,), 0), ((2, -1), (1, 1), 0)]
    )
    def test_nothing_may_be_negative(self, file, shape, stride, offset):
        line = refusal(file, encode({"weight": Tensor(Storage(NUMBERS), shape, stride, offset)}))
        assert "expected a tensor" in line

    @pytest.mark.parametrize(
        ("shape", "stride", "offset"),
        [((2.0,), (1,), 0), ((True,), (1,), 0), ((2,), ("1",), 0), ((2,), (1,), 0.0), ((2,), (1,), None)],
    )
    def test_nothing_but_integers_says_where_it_is(self, file, shape, stride, offset):
        line = refusal(file, encode({"weight": Tensor(Storage(NUMBERS), shape, stride, offset)}))
        assert "expected a tensor" in line

    @pytest.mark.parametrize(("shape", "stride"), [(2, 1), ((2, 3), (1,)), ((2,), (3, 1)), (None, ()), ((), None)])
    def test_shape_and_stride_are_of_one_length(self, file, shape, stride):
        refusal(file, encode({"weight": Tensor(Storage(NUMBERS), shape, stride)}))

    @pytest.mark.parametrize("storage", [None, "0", (0, 0, 0), [1.0]])
    def test_a_tensor_has_a_storage(self, file, storage):
        assert "expected a tensor" in refusal(file, encode({"weight": Tensor(storage, (1,), (1,))}))

    @pytest.mark.parametrize("odd", [{"kind": "module"}, {"view": ("1", 0, 3)}])
    def test_a_storage_that_is_part_of_another_or_something_else_is_refused(self, file, odd):
        state = {"weight": Tensor(Storage(NUMBERS, **odd), (1,), (1,))}
        assert "expected a plain storage" in refusal(file, encode(state))
