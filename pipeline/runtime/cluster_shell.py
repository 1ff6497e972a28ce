"""What DVC runs a command by, in place of a shell, where a stage is sent to a Ray cluster: FOLDER ADDRESS THREADS -c COMMAND.

It connects, hands the command to a node, says what the command says while it runs, and ends with its exit status. The node
writes what it says into a file in FOLDER, on the storage that all share. See pipeline.runtime.cluster_stages.
"""

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pipeline.runtime.cli import report_errors
from pipeline.runtime.cluster import TRIES, open_cluster
from pipeline.runtime.cluster_command import Command, check_packages, list_packages, read_variables, run_command
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lifetime import end_with_dvc
from pipeline.runtime.logging import configure_logging

_EVERY = 0.5  # seconds after which the file is read again


def main(arguments: list[str]) -> int:
    """arguments: of the command line; returns the exit status."""
    folder, address, threads, _, command = arguments
    configure_logging()
    connecting = logging.getLogger(open_cluster.__module__)
    if not connecting.isEnabledFor(logging.DEBUG):
        connecting.setLevel(logging.WARNING)  # how many nodes there are was said once
    end_with_dvc()
    status: list[int] = []
    failed = report_errors(lambda: status.append(run_there(command, Path(folder), address, int(threads))))
    return failed or status[0]


def run_there(command: str, folder: Path, address: str, threads: int) -> int:
    """The exit status of a command that a node has run. A node or worker that is lost is made up for by another, three times in
    all. Raises PipelineError then, and where there is no such cluster.

    folder: for the file that takes what the command says. threads: processors that it is given.
    """
    with open_cluster(cluster="ray", address=address) as cluster, relayed(folder) as log:
        assert cluster is not None
        import ray

        check = partial(check_packages, list_packages())
        nodes = cluster.with_needs(threads=threads, on_gpu=True, first=check)
        try:
            return next(nodes.map_in_order(run_command, [Command(command, str(log), read_variables())], num_workers=1))
        except PipelineError as error:
            cause = error.__cause__
            if not isinstance(cause, ray.exceptions.RayError) or isinstance(cause, ray.exceptions.RuntimeEnvSetupError):
                raise
            raise PipelineError(describe_loss(os.environ.get("DVC_STAGE", command), cause)) from cause


def describe_loss(stage: str, error: BaseException) -> str:
    """What to do where all tries were in vain."""
    return (
        f"{stage}: its worker on the Ray cluster was lost {TRIES} times ({type(error).__name__}): killed, probably out of "
        "memory, or its node ended; give nodes more memory, and run the same command: training goes on from its last checkpoint"
    )


@contextmanager
def relayed(folder: Path) -> Iterator[Path]:
    """A new file, for the block: what is appended to it, by whatever machine, appears on stderr."""
    handle, name = tempfile.mkstemp(suffix=".log", dir=folder)
    os.close(handle)
    ended = threading.Event()
    reader = threading.Thread(target=_relay, args=(Path(name), ended), daemon=True)
    reader.start()
    try:
        yield Path(name)
    finally:
        ended.set()
        reader.join()
        Path(name).unlink(missing_ok=True)


def _relay(log: Path, ended: threading.Event) -> None:
    position, is_last = 0, False
    while not is_last:
        is_last = ended.wait(_EVERY)
        with suppress(OSError):  # of storage that is away for a moment
            # Opened anew each time: only then does NFS ask whether another machine has written more.
            with log.open("rb") as stream:
                stream.seek(position)
                said = stream.read()
            position += len(said)
            sys.stderr.buffer.write(said)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
