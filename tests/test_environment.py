"""`make venv` picks a Python that can build the environment, and constraints.txt pins all that it installs."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NAMES = ("python3.13", "python3.12", "python3.11", "python3")


@pytest.fixture
def interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on the path, in which no usual name of Python runs until `install` makes it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    for variable in ("PYTHON", "MAKEFLAGS", "MAKEOVERRIDES"):  # of the make that runs the tests
        monkeypatch.delenv(variable, raising=False)
    for name in NAMES:
        write_script(folder / name, f'echo "pyenv: {name}: command not found" >&2; exit 127')
    return folder


def write_script(file: Path, body: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def install(file: Path, version: str, *, ensurepip: bool = True) -> Path:
    """A Python of that version; asked for a virtual environment, it prints how and fails."""
    return write_script(
        file,
        f'case "$1 $2" in\n'
        f'"-V "*) echo "Python {version}.1" ;;\n'
        f'"-c import ensurepip") exit {int(not ensurepip)} ;;\n'
        f'"-c "*) echo {version} ;;\n'
        f'*) echo "made by $0 $*"; exit 3 ;;\n'
        "esac",
    )


def find_python(*candidates: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / ".ci" / "find-python", *candidates], capture_output=True, text=True, check=False)


def make_venv(venv: Path, *arguments: str) -> str:
    """What `make venv` prints until the interpreter, which only pretends to be one, fails."""
    command = ["make", "venv", f"VENV={venv}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_newest_supported_python_that_runs_is_found(interpreters: Path, version: str) -> None:
    for older in ("3.11", "3.12", "3.13"):
        if older <= version:
            install(interpreters / f"python{older}", older)
    install(interpreters / "python3", "3.11")
    assert find_python(*NAMES).stdout == f"python{version}\n"


def test_python3_is_taken_where_no_version_has_a_name(interpreters: Path) -> None:
    install(interpreters / "python3", "3.12")
    assert find_python(*NAMES).stdout == "python3\n"


def test_a_python_without_ensurepip_is_passed_over(interpreters: Path) -> None:
    install(interpreters / "python3.12", "3.12", ensurepip=False)
    install(interpreters / "python3.11", "3.11")
    assert find_python(*NAMES).stdout == "python3.11\n"


def test_the_python_that_runs_the_tests_would_do() -> None:
    assert find_python(sys.executable).stdout == f"{sys.executable}\n"


@pytest.mark.parametrize(
    ("version", "ensurepip", "found"),
    [
        ("3.10", True, "python3 (3.10)"),
        ("3.14", True, "python3 (3.14)"),
        ("3.12", False, "python3 (3.12 without ensurepip, which apt install python3-venv adds)"),
        (None, True, "none of python3.13 python3.12 python3.11 python3"),
    ],
)
def test_one_line_says_what_to_do_where_there_is_none(
    interpreters: Path, version: str | None, ensurepip: bool, found: str
) -> None:
    if version:
        install(interpreters / "python3", version, ensurepip=ensurepip)
    done = find_python(*NAMES)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: Python 3.11, 3.12 or 3.13 is needed (TensorFlow 2.21 has no wheel for 3.14); "
        f"found: {found}; install one of them, then run: make venv PYTHON=/path/to/python3.13\n"
    )


def test_outside_a_git_repository_nothing_is_built(no_repository: Path) -> None:
    """A zip of the project, as a hosting page gives it."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, no_repository)
    for target in ("venv", "repro"):
        done = subprocess.run(["make", target], cwd=no_repository, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert f"error: git reads no repository in {no_repository}, which DVC needs" in done.stderr
        assert not (no_repository / ".venv").exists()


def test_the_dvc_of_the_environment_is_that_of_the_project() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["dvc"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_make_venv_builds_with_the_newest(interpreters: Path, tmp_path: Path) -> None:
    install(interpreters / "python3.12", "3.12")
    install(interpreters / "python3", "3.11")
    assert f"made by {interpreters}/python3.12 -m venv" in make_venv(tmp_path / "venv")


def test_make_venv_builds_with_the_python_that_is_named(interpreters: Path, tmp_path: Path) -> None:
    install(interpreters / "python3.13", "3.13")
    mine = install(tmp_path / "my python", "3.11")
    assert f"made by {mine} -m venv" in make_venv(tmp_path / "venv", f"PYTHON={mine}")


def test_make_venv_takes_no_other_than_the_python_that_is_named(interpreters: Path, tmp_path: Path) -> None:
    install(interpreters / "python3.13", "3.13")
    mine = install(tmp_path / "mine", "3.14")
    output = make_venv(tmp_path / "venv", f"PYTHON={mine}")
    assert f"found: {mine} (3.14);" in output
    assert "made by" not in output


def test_an_environment_keeps_its_python(interpreters: Path, tmp_path: Path) -> None:
    install(interpreters / "python3.13", "3.13")
    kept = install(tmp_path / "venv/bin/python", "3.11")
    assert f"made by {kept} -m venv {tmp_path}/venv\n" in make_venv(tmp_path / "venv")


def test_an_environment_of_another_python_is_built_anew(interpreters: Path, tmp_path: Path) -> None:
    install(interpreters / "python3.13", "3.13")
    install(tmp_path / "venv/bin/python", "3.11")
    output = make_venv(tmp_path / "venv", "PYTHON=python3.13")
    assert f"made by {interpreters}/python3.13 -m venv --clear {tmp_path}/venv\n" in output


def list_pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "a name and a version, for every Python"
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


# The extras that only `make test-ci` installs, and what they need besides what is there.
EXPORTS = {"ai-edge-litert", "onnx", "onnxruntime", "openvino", "tf2onnx", "backports-strenum", "openvino-telemetry"}
S3 = {"aiobotocore", "aioitertools", "botocore", "dvc-s3", "jmespath", "s3fs"}
CI = {
    "blinker",
    "boto3",
    "flask",
    "flask-cors",
    "itsdangerous",
    "moto",
    "py-partiql-parser",
    "responses",
    "s3transfer",
    "werkzeug",
    "xmltodict",
}
SERVE = {"fastapi", "httptools", "prometheus-client", "python-multipart", "uvicorn"}
SERVE |= {"annotated-doc", "anyio", "h11", "httpcore2", "httpx2", "opentelemetry-api", "starlette", "truststore"}
HUB = {
    "anyio",
    "h11",
    "hf-xet",
    "httpcore2",
    "httpx2",
    "huggingface-hub",
    "kagglehub",
    "kagglesdk",
    "keras-hub",
    "regex",
}
RAY = {"msgpack", "ray"}
HUB |= {"sentencepiece", "tensorflow-text", "tokenizers", "truststore"}


def list_needed(*extras: str) -> set[str]:
    """All that the project needs with these extras, directly or not, on this Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed: set[tuple[str, str]] = set()
    waiting = list_required(
        project["dependencies"] + [text for extra in extras for text in project["optional-dependencies"][extra]], ""
    )
    while waiting:
        name, extra = waiting.pop()
        needed.add((name, extra))
        waiting |= list_required(distribution(name).requires or [], extra) - needed
    return {name for name, _ in needed}


def list_required(texts: list[str], extra: str) -> set[tuple[str, str]]:
    """(package, extra, or empty) of the requirements that hold on this Python."""
    requirements = [Requirement(text) for text in texts]
    used = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {(canonicalize_name(r.name), name) for r in used for name in {"", *r.extras}}


def test_every_package_is_pinned() -> None:
    # These belong to Python's own tools, and no result depends on them.
    assert list_needed("dev") - list_pins().keys() <= {"pip", "setuptools", "wheel"}


def test_no_pin_is_left_over() -> None:
    assert list_pins().keys() - list_needed("dev") == EXPORTS | S3 | CI | HUB | RAY | SERVE


@pytest.mark.ci
@pytest.mark.parametrize(
    ("extras", "known_by", "pins"),
    [
        (["export"], "tf2onnx", EXPORTS),
        (["export", "serve"], "fastapi", EXPORTS | SERVE),
        (["hub"], "keras_hub", HUB),
        (["s3"], "dvc_s3", S3),
        (["s3", "ci"], "moto", S3 | CI),
    ],
)
def test_the_pins_of_extras_are_those_that_they_need(extras: list[str], known_by: str, pins: set[str]) -> None:
    pytest.importorskip(known_by)
    assert list_needed("dev", *extras) - list_needed("dev") == pins


class TestAudit:
    """`make audit` with a pip-audit that only pretends to be one."""

    @pytest.fixture
    def audit(self, tmp_path: Path):
        shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
        (tmp_path / "constraints.txt").write_text("one==1.0\n")

        def audit(body: str) -> subprocess.CompletedProcess[str]:
            write_script(tmp_path / ".cache" / "pip-audit" / "bin" / "pip-audit", body)
            return subprocess.run([tmp_path / ".ci" / "audit"], capture_output=True, text=True, check=False)

        return audit

    @staticmethod
    def answer(**package: object) -> str:
        """A script that writes what pip-audit does to the last of its arguments."""
        content = json.dumps({"dependencies": [{"name": "one", "version": "1.0"} | package]})
        return f"for file; do :; done; echo '{content}' >$file; exit 1"

    def test_what_is_found_is_named_and_fails(self, audit):
        done = audit(
            self.answer(vulns=[{"id": "PYSEC-1", "fix_versions": ["1.1"]}, {"id": "PYSEC-2", "fix_versions": []}])
        )
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "pip-audit: one 1.0: PYSEC-1, fixed in 1.1",
            "pip-audit: one 1.0: PYSEC-2, fixed in no version yet",
            "pip-audit: 1 packages, 2 known vulnerabilities",
        ]

    def test_nothing_found_passes(self, audit):
        done = audit(self.answer(vulns=[]))
        assert (done.returncode, done.stdout) == (0, "pip-audit: 1 packages, 0 known vulnerabilities\n")

    def test_a_database_that_does_not_answer_is_one_line_and_passes(self, audit):
        done = audit("echo Traceback >&2; echo 'requests.ConnectionError: no route' >&2; exit 1")
        said = "pip-audit: skipped, as its database of vulnerabilities is out of reach (requests.ConnectionError)\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_an_environment_that_was_moved_is_made_anew(interpreters: Path, tmp_path: Path) -> None:
    install(interpreters / "python3.11", "3.11")
    venv = tmp_path / "moved"
    install(venv / "bin" / "python", "3.11")
    (venv / "built").write_text(f"{tmp_path / 'as it was called'}\n")
    assert f"-m venv --clear {venv}" in make_venv(venv)
    (venv / "built").write_text(f"{venv.resolve()}\n")
    command = ["make", "--question", "venv", f"VENV={venv}"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
