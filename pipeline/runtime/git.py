"""What git says of this repository."""

import subprocess


def ask_git(*arguments: str) -> str | None:
    """What a command of git prints; None where it fails, as outside a repository, or where there is no git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
