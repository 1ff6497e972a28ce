"""Runs the server until somebody ends it. Its port is taken before anything else."""

import contextlib
import resource
import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from pipeline.config.sections import Params
from pipeline.runtime.errors import PipelineError

_PACKAGES = ("fastapi", "uvicorn", "httptools", "multipart", "onnxruntime", "prometheus_client")
_CLIENT = ("httpx2",)  # of HTTP, where URLs are fetched
_KEEP_ALIVE = 5  # seconds that an idle connection stays open
_BACKLOG = 2048  # connections that wait to be accepted


def check_packages(params: Params) -> None:
    """Raises PipelineError, one line, where a package of the extra `serve` that these parameters need is not installed."""
    needed = (*_PACKAGES, *(_CLIENT if params.serve.url_hosts else ()))
    if missing := [package for package in needed if find_spec(package) is None]:
        raise PipelineError(
            f"{', '.join(missing)} can't be imported: expected the extra `serve`; run "
            "`pip install -c constraints.txt -e '.[serve]'`"
        )


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. port: 0: any that is free. Raises PipelineError where it is in use, or not of this machine."""
    try:
        if not 0 <= port < 1 << 16:  # getaddrinfo would take the rest of a division
            raise OverflowError("a port is from 0 to 65535")
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError, OverflowError) as error:
        raise PipelineError(
            f"port {port} of {host} can't be taken ({getattr(error, 'strerror', None) or error}): expected one that is free; "
            "name another with --port"
        ) from error


def _allow_files() -> None:
    """As many open files as the system grants: some grant 1,024 to who does not ask, about as many as connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems grant less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(folder: Path, params: Params, listening: socket.socket) -> None:
    """Prints the address, and answers requests until SIGINT or SIGTERM; those that it has begun it ends, for up to
    serve.max_seconds. Raises PipelineError where the folder has nothing to serve."""
    import uvicorn

    from pipeline.serving.admission import Limits
    from pipeline.serving.app import make_app
    from pipeline.serving.connections import make_protocol
    from pipeline.serving.meters import Meters
    from pipeline.serving.service import Service

    settings, meters = params.serve, Meters()
    limits = Limits(
        max_bytes=int(settings.max_mb * 1e6),
        max_files=settings.max_files,
        max_pictures=settings.max_waiting,
        max_waiting_bytes=int(settings.max_waiting_mb * 1e6),
        max_seconds=settings.max_seconds,
    )
    _allow_files()
    fetcher = None
    if settings.url_hosts:
        from pipeline.serving.fetching import Fetcher

        fetcher = Fetcher(settings.url_hosts, settings.max_seconds / 2)
    app = make_app(Service(folder, params, meters), limits, meters, fetcher)
    host, port = listening.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    config = uvicorn.Config(
        app,
        http=make_protocol(settings.max_connections, settings.max_seconds),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.max_seconds) + 1,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn's own come first, and then raise the signal once more
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
