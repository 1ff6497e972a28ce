"""What git says of this repository."""

import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pipeline.runtime.errors import PipelineError


def ask_git(*arguments: str) -> str | None:
    """What a git command prints; None if it fails, as outside a repository, or if git is not installed."""
    done = _run(*arguments)
    return done.stdout if done is not None and done.returncode == 0 else None


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str] | None:
    """None if git can't be started. variables: of the environment."""
    environment = os.environ | variables
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment
        )
    except OSError:
        return None


def explain_no_repository(project: Path) -> str | None:
    """One line for what keeps git from reading a project's repository, and what to do; None if nothing does."""
    done = _run("-C", str(project), "rev-parse", "--git-dir", LC_ALL="C")
    if done is None:
        return "git can't be started, in whose repository DVC keeps what was run: install git, or put it on the PATH"
    if done.returncode == 0:
        return None
    if "dubious ownership" in done.stderr:
        return (
            f"git reads no repository of another user's, as {project} is: make it yours, or trust it: "
            f"`git config --global --add safe.directory {shlex.quote(str(project))}`"
        )
    return (
        f"{project} is not in a git repository, in which DVC keeps what was run: expected a clone, made with `git clone`; "
        "of a downloaded zip, `git init && git add . && git commit -m start` makes one"
    )


def read_blobs(revisions: Iterable[str], path: str) -> dict[str, bytes]:
    """The bytes of one file in each revision that has it, all by one process: 200 in a twentieth of a second.

    revisions: hashes of commits. path: from the top of the repository. Raises PipelineError where git can't read them.
    """
    wanted = list(revisions)
    asked = "".join(f"{revision}:{path}\n" for revision in wanted).encode()
    try:
        done = subprocess.run(["git", "cat-file", "--batch"], input=asked, capture_output=True, check=False)
    except OSError as error:
        raise PipelineError("git can't be started: expected it on the PATH; install it") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise PipelineError(f"git can't read {path} of {len(wanted)} commit(s): {said}")
    found, start = {}, 0
    for revision in wanted:
        end = done.stdout.index(b"\n", start)
        head, start = done.stdout[start:end].split(), end + 1
        if head[-1].isdigit():  # <hash> blob <bytes>; else "<what was asked> missing"
            size = int(head[-1])
            found[revision], start = done.stdout[start : start + size], start + size + 1
    return found
