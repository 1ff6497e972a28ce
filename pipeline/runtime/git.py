"""What git says of this repository."""

import subprocess


def ask_git(*arguments: str) -> str | None:
    """What a git command prints; None if it fails, as outside a repository, or if git is not installed."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
