"""Model files that would run code, read other files or fill the memory, and a good one. Made without Keras."""

import base64
import io
import json
import marshal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MARKER = "ran"  # the file that code would leave in the working directory
_TOUCH = f"touch {MARKER}"
_LAMBDA = base64.b64encode(marshal.dumps(compile(f"open({MARKER!r}, 'w').close()", "x", "exec"))).decode()


def make_object(module: Any, name: Any, config: Any, **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": None} | more


def make_config(layer: Any = None, **settings: Any) -> dict[str, Any]:
    """Of a network with one dense layer. layer: another one in its place. settings: others of that layer."""
    dense = make_object("keras.layers", "Dense", {"name": "dense", "units": 2, "activation": "softmax"} | settings)
    layers = [make_object("keras.layers", "InputLayer", {"batch_shape": [None, 4]}), layer or dense]
    return make_object("keras.src.models.functional", "Functional", {"layers": layers}, registered_name="Functional")


def make_weights(write: Callable[[h5py.File], object] | None = None) -> bytes:
    """HDF5 of a matrix and a vector. write: puts more into it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["layers/dense/vars/0"] = np.ones((4, 2), "float32")
        file["layers/dense/vars/1"] = np.ones(2, "float32")
        if write is not None:
            write(file)
    return content.getvalue()


def write_archive(file: Path, config: Any = None, weights: bytes | None = None, **more: bytes) -> Path:
    """A .keras file. config: its text, or what becomes JSON. more: further members by name."""
    members = {
        "config.json": config if isinstance(config, bytes) else json.dumps(config or make_config()).encode(),
        "metadata.json": b"{}",
        "model.weights.h5": make_weights() if weights is None else weights,
    } | more
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


# What a config may name in place of a layer.
OBJECTS = {
    "a lambda": make_object(None, "__lambda__", {"value": _LAMBDA}),
    "a lambda of builtins": make_object("builtins", "__lambda__", {"value": [_LAMBDA, None, None]}),
    "bytes": make_object("builtins", "__bytes__", {"value": "x"}),
    "a type of TensorFlow": make_object("tensorflow", "__typespec__", [], spec_name="TensorSpec"),
    **{
        f"{module}.{name}": make_object(module, name, config)
        for module, name, config in (
            ("keras.layers", "Lambda", {"function": make_object(None, "__lambda__", {"value": _LAMBDA})}),
            ("keras.layers", "Lambda", {"function": make_object("os", "function", "system"), "arguments": [_TOUCH]}),
            ("keras.layers", "TFSMLayer", {"filepath": "/tmp/saved_model"}),
            ("keras.layers", "TorchModuleWrapper", {"module": _LAMBDA}),
            ("keras.layers", "JaxLayer", {"call_fn": make_object("os", "function", "system")}),
            ("keras.layers", "FlaxLayer", {"module": _LAMBDA}),
            ("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
            ("keras.layers", "IntegerLookup", {"vocabulary": "http://127.0.0.1/words"}),
            ("keras.layers", "TextVectorization", {"vocabulary": "/etc/passwd"}),
            ("keras.layers", "Pipeline", {"layers": []}),
            ("keras.layers", "Wrapper", {"layer": {}}),
            ("keras.layers", "RNN", {"cell": {}}),
            ("keras.layers", "deserialize", {"config": {}}),
            ("keras", "Lambda", {"function": _LAMBDA}),
            ("keras.src.layers.core.lambda_layer", "Lambda", {"function": _LAMBDA}),
            ("keras.src.layers", "Dense", {"units": 2}),
            ("keras.config", "enable_unsafe_deserialization", {}),
            ("keras.saving", "load_model", {"filepath": "/tmp/other.keras"}),
            ("keras.models", "load_model", {"filepath": "/tmp/other.keras"}),
            ("keras.utils", "get_file", {"origin": "http://127.0.0.1/x"}),
            ("keras.src.utils.python_utils", "func_load", {"code": _LAMBDA}),
            ("keras.src.utils.file_utils", "rmtree", {"path": "data"}),
            ("keras.src.saving.serialization_lib", "enable_unsafe_deserialization", {}),
            ("keras.src.saving.saving_lib", "load_model", {"filepath": "x"}),
            ("keras.src.ops.core", "Map", {"f": make_object("os", "function", "system")}),
            ("keras.src.ops.core", "Scan", {"f": make_object("os", "function", "system")}),
            ("keras.src.ops.numpy", "add", {}),
            ("keras.initializers", "get", {"identifier": "os.system"}),
            ("keras.initializers", "__import__", {}),
            ("keras.initializers.initializers", "Zeros", {}),
            ("keras.activations", "function", "relu"),
            ("builtins", "function", "eval"),
            ("builtins", "function", "exec"),
            ("builtins", "eval", f"open({MARKER!r}, 'w')"),
            ("builtins", "open", {"file": MARKER, "mode": "w"}),
            ("builtins", "__import__", {"name": "antigravity"}),
            ("os", "system", _TOUCH),
            ("os", "function", "system"),
            ("os", "popen", {"cmd": _TOUCH}),
            ("posix", "system", {"command": _TOUCH}),
            ("subprocess", "Popen", {"args": ["touch", MARKER]}),
            ("subprocess", "run", {"args": ["touch", MARKER]}),
            ("pty", "spawn", {"argv": ["touch", MARKER]}),
            ("runpy", "run_path", {"path_name": "x.py"}),
            ("importlib", "import_module", {"name": "antigravity"}),
            ("pickle", "loads", {"data": ""}),
            ("marshal", "loads", {"data": _LAMBDA}),
            ("types", "FunctionType", {"code": _LAMBDA}),
            ("functools", "partial", {"func": "system"}),
            ("ctypes", "CDLL", {"name": "libc.so.6"}),
            ("code", "InteractiveInterpreter", {}),
            ("timeit", "timeit", {"stmt": f"open({MARKER!r}, 'w')"}),
            ("shutil", "rmtree", {"path": "data"}),
            ("numpy", "load", {"file": "x.npy", "allow_pickle": True}),
            ("numpy.f2py", "compile", {"source": ""}),
            ("pathlib", "Path", {}),
            ("tensorflow", "py_function", {"func": "system"}),
            ("tensorflow.io", "write_file", {"filename": MARKER, "contents": ""}),
            ("tensorflow.saved_model", "load", {"export_dir": "x"}),
            ("stages.train", "train", {"family": "underfit"}),
            ("pipeline.runtime.files", "remove", {"path": "data"}),
            (None, "Lambda", {"function": _LAMBDA}),
            (None, "Dense", {"units": 2}),
            (["os"], "system", {}),
            ({"os": 1}, "system", {}),
            ("keras.layers", ["Dense"], {}),
            ("keras.layers", None, {}),
            ("keras.layers", "Dense\n", {}),
            ("keras.layers ", "Dense", {}),
        )
    },
    "another registered name": make_object("keras.layers", "Dense", {"units": 2}, registered_name="Custom>Evil"),
    "a registered function": make_object("keras.layers", "Dense", {"units": 2}, registered_name="os.system"),
}
# Where in a config an object may stand.
PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda thing: thing,
    "as a layer": lambda thing: make_config(thing),
    "as an initializer": lambda thing: make_config(kernel_initializer=thing),
    "as an activation": lambda thing: make_config(activation=thing),
    "in a list of a list": lambda thing: make_config(inbound_nodes=[{"args": [[thing]], "kwargs": {}}]),
    "as a keyword": lambda thing: make_config(inbound_nodes=[{"args": [], "kwargs": {"training": thing}}]),
    "as a type": lambda thing: make_config(dtype=thing),
    "beside": lambda thing: make_config() | {"build_config": {"input_shape": thing}},
    "in a compiled layer": lambda thing: make_config(
        make_object("keras.layers", "Dense", {}, compile_config={"x": thing})
    ),
}


def _nest(levels: int) -> bytes:
    return b'{"config": ' * levels + b"1" + b"}" * levels


def _rewrite(file: Path, old: str, new: str) -> None:
    """Of the same length, which zipfile would not write itself."""
    file.write_bytes(file.read_bytes().replace(old.encode(), new.encode()))


def _add(file: Path, name: str, content: bytes = b"x", packed: int = zipfile.ZIP_STORED) -> None:
    write_archive(file)
    with zipfile.ZipFile(file, "a", packed) as archive:
        archive.writestr(name, content)


def _double(file: Path) -> None:
    write_archive(file, extra=json.dumps(make_config(OBJECTS["os.system"])).encode())
    with zipfile.ZipFile(file) as archive:
        content = {member.filename: archive.read(member) for member in archive.infolist()}
    file.unlink()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr("config.jsox" if name == "extra" else name, data)
    _rewrite(file, "config.jsox", "config.json")


def _pack(file: Path, name: str, size: int) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(member, bytes(size) if member == name else b"{}")


# Archives that are no model file of Keras' own, by what is wrong in them.
ARCHIVES: dict[str, Callable[[Path], object]] = {
    "a member above": lambda file: _add(file, "../ran"),
    "a member far above": lambda file: _add(file, "../../../../../../tmp/ran"),
    "an absolute member": lambda file: _add(file, "/tmp/ran"),
    "a member of Windows": lambda file: _add(file, "C:\\ran"),
    "a member with a colon": lambda file: _add(file, "config.json:ran"),
    "an asset": lambda file: _add(file, "assets/vocabulary.txt"),
    "a module": lambda file: _add(file, "keras.py"),
    "a saved model": lambda file: _add(file, "saved_model.pb"),
    "a pickle": lambda file: _add(file, "data.pkl"),
    "a folder": lambda file: _add(file, "assets/"),
    "a name with a line break": lambda file: _add(file, "x\nall is well"),
    "weights of numpy": lambda file: _add(file, "model.weights.npz"),
    "two configs": _double,
    "a bomb for a config": lambda file: _pack(file, "config.json", 17 << 20),
    "a bomb for metadata": lambda file: _pack(file, "metadata.json", 2 << 20),
    "a bomb for weights": lambda file: _pack(file, "model.weights.h5", 8 << 20),
    "no config": lambda file: zipfile.ZipFile(file, "w").close(),
    "a config without end": lambda file: write_archive(file, _nest(300)),
    "a folder for a file": lambda file: file.mkdir(),
}


def _link_out(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink("/etc/hostname", "/")


def _map(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("layers/dense/vars/2", layout)


# What may be in the weights.
WEIGHTS: dict[str, Callable[[h5py.File], object]] = {
    "a link to another file": _link_out,
    "a link to another file at the top": lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/hostname", "/")),
    "a soft link": lambda file: file.__setitem__("x", h5py.SoftLink("/layers")),
    "a soft link to itself": lambda file: file.__setitem__("x", h5py.SoftLink("/x")),
    "numbers in another file": lambda file: file.create_dataset("x", (8,), "u1", external=[("/etc/hostname", 0, 8)]),
    "numbers mapped from another file": _map,
    "texts": lambda file: file.create_dataset("x", data=["os.system"], dtype=h5py.string_dtype()),
    "bytes": lambda file: file.create_dataset("x", data=np.array([b"cos\nsystem"])),
    "opaque bytes": lambda file: file.create_dataset("x", data=np.zeros(2, "V8")),
    "references": lambda file: file.create_dataset("x", (1,), h5py.ref_dtype),
    "records": lambda file: file.create_dataset("x", (1,), np.dtype([("a", "f4"), ("b", "f4")])),
    "a bomb": lambda file: file.create_dataset("x", (1 << 14, 1 << 14), "f8", chunks=True, compression="gzip"),
    "a bomb of many": lambda file: [file.create_dataset(f"x{n}", (1 << 22,), "f8", chunks=True) for n in range(8)],
    "a bomb without chunks": lambda file: file.create_dataset("x", (1 << 28,), "f8"),
}
