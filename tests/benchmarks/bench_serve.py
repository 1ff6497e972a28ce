"""The server's throughput as a ratio to plain onnxruntime on the same cores, and its latency at 80 % of that load.

python tests/benchmarks/bench_serve.py [models/exported/efficientnet_lite0] [--files 8] [--seconds 10]

Without a folder of exported files, a small ONNX file that the tests make is served.

Plain: one process that decodes the same pictures with the same code and runs them in batches of 32. The server and its clients
share the cores of this machine, and so the clients' work counts against it: it is printed, too. Only 127.0.0.1 is asked, for a
bounded time. Nothing else should run meanwhile.
"""

import argparse
import io
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import requests
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.config.reader import load_params
from pipeline.data.image_files import decode_named
from pipeline.serving.served import Served, load_served
from tests.pipeline.serving.exported import save_exported

_CLIENTS, _BATCH, _PICTURES = 8, 32, 64


def make_pictures() -> list[bytes]:
    """JPEGs of 320 × 240 px, about as heavy to decode as small photographs."""
    rng, pictures = np.random.default_rng(0), []
    for _ in range(_PICTURES):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        buffer = io.BytesIO()
        small.resize((320, 240), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    return pictures


def measure_plain(served: Served, pictures: list[bytes], seconds: float) -> float:
    """Pictures per second."""
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        batch = [pictures[(done + i) % len(pictures)] for i in range(_BATCH)]
        pixels = [decode_named(("x", data), served.decoding).pixels for data in batch]
        served.classify(np.stack(pixels))  # type: ignore[arg-type]
        done += _BATCH
    return done / (time.perf_counter() - start)


def ask(session: requests.Session, url: str, pictures: list[bytes], first: int, files: int) -> float:
    """Seconds until the answer. Raises AssertionError for any status but 200."""
    form = [("files", (str(i), pictures[(first + i) % len(pictures)])) for i in range(files)]
    start = time.perf_counter()
    response = session.post(f"{url}/predict", files=form, timeout=60)
    assert response.status_code == 200, response.text[:200]
    return time.perf_counter() - start


def measure_full(url: str, pictures: list[bytes], files: int, seconds: float) -> float:
    """Pictures per second, with as many clients as keep it busy."""
    end, counts = time.perf_counter() + seconds, [0] * _CLIENTS

    def run(number: int) -> None:
        with requests.Session() as session:
            while time.perf_counter() < end:
                ask(session, url, pictures, number, files)
                counts[number] += files

    start = time.perf_counter()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def measure_latency(url: str, pictures: list[bytes], files: int, rate: float, seconds: float) -> list[float]:
    """Seconds of each request, which begin at equal distances, `rate` of them a second, whether others are answered or not."""
    local = threading.local()

    def run(number: int, due: float) -> float:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        ask(local.session, url, pictures, number, files)
        return time.perf_counter() - due

    start, given = time.perf_counter(), []
    with ThreadPoolExecutor(64) as pool:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            given.append(pool.submit(run, number, due))
        return [future.result() for future in given]


def read_seconds(process: psutil.Process) -> float:
    """Processor time of a process and those that it started."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--files", type=int, default=8, help="per request")
    parser.add_argument("--seconds", type=float, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.folder is None:
            save_exported(Path(scratch))
        compare(chosen.folder or Path(scratch), chosen)


def compare(folder: Path, chosen: argparse.Namespace) -> None:
    pictures = make_pictures()
    plain = measure_plain(load_served(folder, load_params()), pictures, chosen.seconds)
    command = [sys.executable, "-m", "stages.serve", "--folder", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        measure_full(url, pictures, chosen.files, 2)  # its decoders start
        process, own = psutil.Process(server.pid), psutil.Process()
        before, mine = read_seconds(process), own.cpu_times().user + own.cpu_times().system
        full = measure_full(url, pictures, chosen.files, chosen.seconds)
        used, mine = read_seconds(process) - before, own.cpu_times().user + own.cpu_times().system - mine
        delays = measure_latency(url, pictures, chosen.files, 0.8 * full / chosen.files, chosen.seconds)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    print(f"plain onnxruntime: {plain:.0f} pictures/s; server: {full:.0f}; ratio {full / plain:.2f}")
    print(f"of the processors' time, clients took {mine / (used + mine):.0%} ({os.cpu_count()} cores for both)")
    p50, p99 = statistics.median(delays), float(np.quantile(delays, 0.99))
    print(f"at 80 % load, {chosen.files} pictures per request: median {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms")


if __name__ == "__main__":
    main()
