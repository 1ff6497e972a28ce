"""How a Ray cluster is found, or started for one stage, and what is said of one that can't be used. Imports Ray in functions:
only those who use a cluster need it.
"""

import logging
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import num_cores

logger = logging.getLogger(__name__)

TRIES = 3  # of a task whose worker or node is lost
_CONNECT = 10.0  # seconds within which a cluster has to answer
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # reports nothing to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what later versions do, without a warning that they will
    "RAY_task_oom_retries": str(TRIES - 1),  # else endless
}
_IDENTIFY = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # what every connection asks a head first


def import_ray() -> Any:
    """The module. Raises PipelineError without the extra `ray`."""
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise PipelineError(
            "runtime.cluster is ray, but Ray is not installed: install the extra: pip install -c constraints.txt -e '.[ray]'"
        ) from error
    return ray


def connect(ray: Any, address: str | None, own: Path | None) -> None:
    """Raises PipelineError where there is no such cluster, or where it can't be used.

    own: the folder of a Ray that is started here, where there is no address. Paths of sockets in it have to be short.
    """
    if address and address != "auto":
        _check_reachable(address)
    # Not public: it prints to stdout, in colours, of each worker that is lost. A test notices a change.
    ray._private.worker.print_to_stdstream = _note
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if own is not None:
        # A Ray asks for a token, so that nobody else on this machine runs code in it. It would make one in ~/.ray, where later
        # a `ray start` finds it and asks for it; and a home may be read-only.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        options |= {"num_cpus": num_cores(), "include_dashboard": False, "_temp_dir": str(own)}
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, TimeoutError, ValueError, ray.exceptions.RayError) as error:
        raise PipelineError(f"{_describe(address)} does not answer as a Ray cluster: {_shorten(error)}") from error
    except RuntimeError as error:
        if "ersion mismatch" in str(error):
            raise PipelineError(
                f"{_describe(address)} runs another version: {_shorten(error)}: install the same Ray and Python on all nodes"
            ) from error
        raise PipelineError(f"{_describe(address)} can't be used: {_shorten(error)}") from error


def _note(said: dict[str, Any], **_: Any) -> None:
    logger.debug("Ray: %s", " ".join(" ".join(said["lines"]).split()))


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes, also where another program answers."""
    import grpc

    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT).close()
        if not os.environ.get("RAY_USE_TLS", "0").strip("0"):
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(_CONNECT)
                _check_token(channel, address)
    except (OSError, ValueError, grpc.FutureTimeoutError) as error:
        raise PipelineError(
            f"{_describe(address)} is out of reach ({_shorten(error) or 'no answer in the language of Ray'}): expected "
            "host:port of the head of a running Ray cluster, as `ray start --head` prints it, which answers within "
            f"{_CONNECT:g} s"
        ) from error


def _check_token(channel: Any, address: str) -> None:
    """Ray itself, with none or a wrong one, would try for 20 seconds, and then say that nobody answers. It takes the one in
    ~/.ray for a cluster that it finds, never for an address that it is given, which might be anybody's."""
    import grpc

    headers = _find_token() if _sends_token() else {}
    try:
        channel.unary_unary(_IDENTIFY)(b"", _CONNECT, [(name.lower(), value) for name, value in headers.items()])
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAUTHENTICATED:
            return
        what = "has another token than RAY_AUTH_TOKEN or ~/.ray/auth_token" if headers else "asks for a token"
        raise PipelineError(
            f"{_describe(address)} {what}: set the variable RAY_AUTH_MODE to token, and have that of the cluster "
            "in RAY_AUTH_TOKEN, or in ~/.ray/auth_token, where `ray start` has it"
        ) from error


def _find_token() -> dict[str, str]:
    """As headers; empty where there is none."""
    ray = import_ray()
    try:
        # Not public, as above.
        return dict(ray._raylet.AuthenticationTokenLoader.instance().get_token_for_http_header())
    except ray.exceptions.AuthenticationError:
        return {}


def _sends_token() -> bool:
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def _describe(address: str | None) -> str:
    return f"runtime.ray_address or RAY_ADDRESS, {address}," if address else "a Ray of its own"


def _shorten(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
