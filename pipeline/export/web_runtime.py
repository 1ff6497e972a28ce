"""ONNX Runtime for browsers: one pinned package of npm, of which two files are used as they are."""

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256
from pipeline.sources.npm import NpmError, pack_npm

PACKAGE = "onnxruntime-web@1.30.0"
NAME = "ONNX Runtime Web 1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_SCRIPT, _RUNTIME = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"


@dataclass(frozen=True)
class WebRuntime:
    """script: a JavaScript module. runtime: WebAssembly that it starts."""

    script: bytes
    runtime: bytes


def load_web_runtime(package: Path | None) -> WebRuntime:
    """package: the .tgz; None: downloaded by npm, once. Raises PipelineError for any other file than the pinned one."""
    try:
        file = package or pack_npm(PACKAGE)
    except NpmError as error:
        raise PipelineError(
            f"the page needs {PACKAGE}, which can't be had: {error}; or download it elsewhere by `npm pack {PACKAGE}`, and "
            "name the file with --runtime"
        ) from error
    if not file.is_file():
        raise PipelineError(f"--runtime {file} is not here: expected what `npm pack {PACKAGE}` downloads")
    if (received := compute_sha256(file)) != SHA256:
        raise PipelineError(
            f"{file} is not {PACKAGE}, or damaged: expected sha256 {SHA256}, received {received}; delete it, and run "
            f"`npm pack {PACKAGE}`"
        )
    return read_web_runtime(file)


def read_web_runtime(file: Path) -> WebRuntime:
    """Unpacks nothing to disk."""
    try:
        with tarfile.open(file) as tar:
            return WebRuntime(_read(tar, _SCRIPT), _read(tar, _RUNTIME))
    except (KeyError, OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise PipelineError(
            f"{file} can't be read ({type(error).__name__}): expected {PACKAGE} as npm packs it"
        ) from error


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    if stream is None:
        raise KeyError(name)
    return stream.read()
