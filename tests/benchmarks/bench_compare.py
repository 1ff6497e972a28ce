"""Comparing many experiments: seconds of `dvc exp show`, `python -m stages.compare` and DVC's own start.

Run: python tests/benchmarks/bench_compare.py [EXPERIMENTS [FOLDER]]. A clone of HEAD gets EXPERIMENTS (default 200)
experiments: one in twenty without results, one in ten on another commit, contracts and curves in DVC's cache. Goal: less than
5 s, and a ratio of 1 at most: comparing is no slower than `dvc exp show`. FOLDER keeps the clone there.
"""

import hashlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd
import yaml

from tests.clone import PROJECT, run
from tests.experiments import make_curves, save_model

ROUNDS = 3
COMMANDS = {
    "dvc exp show": ["dvc", "exp", "show", "--csv"],
    "make show": ["dvc", "exp", "show", "--md", "--only-changed", "--drop", ".*(macro|ensemble)|Created|State|data/"],
    "stages.compare": [sys.executable, "-P", "-m", "stages.compare", "--out", "compare.html"],  # of this checkout
    "importing DVC": [sys.executable, "-c", "import dvc.repo"],
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(name) / "clone"
        if not folder.exists():
            make_project(folder, count)
        seconds = {what: time_command(command, folder) for what, command in COMMANDS.items()}
    for what, taken in seconds.items():
        print(f"  {what}: {taken:.2f} s")
    shown, compared = seconds["dvc exp show"], seconds["stages.compare"]
    print(
        f"{count} experiments: comparing takes {compared:.1f} s, {compared / shown:.2f} of `dvc exp show` ({shown:.1f} s)"
    )


def time_command(command: list[str], folder: Path) -> float:
    """Median seconds, after one run that fills caches."""
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        run(command, folder, PYTHONPATH=str(PROJECT))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def make_project(folder: Path, count: int) -> None:
    """A clone of HEAD with experiments, written as git's fast-import reads them: DVC would take minutes to save them."""
    run(["git", "clone", "--quiet", str(PROJECT), str(folder)], folder.parent)
    heads = [run(["git", "rev-parse", name], folder).strip() for name in ("HEAD", "HEAD~1")]
    stream = b"".join(make_experiment(folder, number, heads[number % 10 == 9]) for number in range(count))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=stream, check=True)


def make_experiment(folder: Path, number: int, head: str) -> bytes:
    """A commit of fast-import: other parameters, metrics and learning curves than those of `head`."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["train"] |= {"dropout": 0.1 * (number % 4), "seed": number % 5, "l2": 10.0 ** -(2 + number % 3)}
    summary = pd.read_csv(folder / "metrics/summary.csv")
    for column in ("val_accuracy", "test_accuracy", "test_macro_f1"):
        summary[column] = (summary[column] - 0.001 * number).round(5)
    files: dict[str, Any] = {"params.yaml": yaml.safe_dump(params, sort_keys=False)}
    if number % 20 == 7:
        files |= {"metrics/summary.csv": None, "metrics/summary.json": None}
    else:
        scores = summary.set_index("family")[["test_accuracy", "test_macro_f1", "val_accuracy"]]
        files["metrics/summary.csv"] = summary.to_csv(index=False)
        files["metrics/summary.json"] = json.dumps(scores.T.to_dict(), indent=1)
        lock = yaml.safe_load((folder / "dvc.lock").read_text())
        for stage in lock["stages"].values():
            for file in (*stage.get("deps", []), *stage.get("outs", [])):
                if file["path"].startswith("models/"):
                    file["md5"] = save_model_file(folder, Path(file["path"]).stem, number)
        for out in lock["stages"]["report"]["outs"]:
            if out["path"] == "metrics/plots":
                out["md5"] = save_curves(folder, list(scores.index), number)
        files["dvc.lock"] = yaml.safe_dump(lock, sort_keys=False)
    ref = f"refs/exps/{head[:2]}/{head[2:]}/point-{number:03d}"
    lines = [f"commit {ref}", f"committer bench <bench@example.invalid> {1_700_000_000 + number} +0000", "data 0"]
    lines.append(f"from {head}")
    text = io.StringIO()
    for name, content in files.items():
        if content is None:
            text.write(f"D {name}\n")
        else:
            text.write(f"M 100644 inline {name}\ndata {len(content.encode())}\n{content}\n")
    return ("\n".join(lines) + "\n" + text.getvalue() + "\n").encode()


def save_curves(folder: Path, families: list[str], number: int) -> str:
    """metrics/plots in DVC's cache; returns its digest."""
    values = [round(0.5 + 0.01 * epoch - 0.001 * number, 5) for epoch in range(20)]
    table = pd.concat([make_curves(family, *values) for family in families]).to_csv(index=False)
    digest = save_object(folder, table.encode(), "")
    listing = [{"md5": digest, "relpath": "curves.csv"}]
    return save_object(folder, json.dumps(listing, sort_keys=True).encode(), ".dir")


@cache
def save_model_file(folder: Path, family: str, number: int) -> str:
    """A model file in DVC's cache that has a contract and 1 MB of weights; returns its digest."""
    file = save_model(folder / f".dvc/tmp/{family}.keras", "cat", "dog", data=f"{number:064x}")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("model.weights.h5", bytes(1_000_000), zipfile.ZIP_DEFLATED)
    return save_object(folder, file.read_bytes(), "")


def save_object(folder: Path, content: bytes, suffix: str) -> str:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
    file = folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return digest


if __name__ == "__main__":
    main()
