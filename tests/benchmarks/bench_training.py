"""Training of `cifar_elu`, images/s, against hand-written PyTorch: same network, same batch, same cores.

Run: python tests/benchmarks/bench_training.py [PYTHON]. PYTHON: an interpreter with PyTorch (pip install torch), by default
this one; the two sides run in turn, in a new process each. Goal: 1.0x.
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.pairs import compare

PROJECT = Path(__file__).parents[2]
STEPS, BATCH, ROUNDS = 120, 64, 3

_OURS = """
import time
from pipeline.runtime.tensorflow import configure_tensorflow
configure_tensorflow(onednn=True, threads=2, portable=True)
import keras, numpy as np, tensorflow as tf
from pipeline.models.build import build_model
keras.utils.set_random_seed(1)
model = build_model("cifar_elu", image_size=32, num_classes=10)
model.compile(keras.optimizers.RMSprop(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"],
              steps_per_execution={execution})
images = np.random.default_rng(0).integers(0, 256, ({batch} * 8, 32, 32, 3), np.uint8)
labels = np.random.default_rng(1).integers(0, 10, {batch} * 8)
batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch({batch}).cache().repeat().prefetch(2)
model.fit(batches, steps_per_epoch={execution} * 2, epochs=1, verbose=0)
start = time.perf_counter()
model.fit(batches, steps_per_epoch={steps}, epochs=1, verbose=0)
print("RATE", {steps} * {batch} / (time.perf_counter() - start))
"""

_TORCH = """
import time, torch
from torch import nn
torch.manual_seed(1)
def block(a, b, rate):
    return [nn.Conv2d(a, b, 3, padding=1), nn.ELU(), nn.BatchNorm2d(b, eps=1e-3, momentum=0.01),
            nn.Conv2d(b, b, 3, padding=1), nn.ELU(), nn.BatchNorm2d(b, eps=1e-3, momentum=0.01),
            nn.MaxPool2d(2), nn.Dropout(rate)]
net = nn.Sequential(*block(3, 32, .2), *block(32, 64, .3), *block(64, 128, .4), nn.Flatten(), nn.Linear(2048, 10))
net = net.to(memory_format=torch.channels_last)
convolutions = [m.weight for m in net if isinstance(m, nn.Conv2d)]
rest = [p for p in net.parameters() if not any(p is c for c in convolutions)]
optimizer = torch.optim.RMSprop([dict(params=convolutions, weight_decay=2e-4), dict(params=rest)], lr=0.001, alpha=0.9)
images = torch.randint(0, 256, ({batch} * 8, 3, 32, 32), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
labels = torch.randint(0, 10, ({batch} * 8,))
loss_of = nn.CrossEntropyLoss()
net.train()
def run(steps):
    for step in range(steps):
        rows = slice(step % 8 * {batch}, (step % 8 + 1) * {batch})
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(net(images[rows].float() / 255), labels[rows])
        loss.backward()
        optimizer.step()
run(10)
start = time.perf_counter()
run({steps})
print("RATE", {steps} * {batch} / (time.perf_counter() - start))
"""


def measure(python: str, script: str, **settings: int) -> float:
    """The images/s that a script prints."""
    code = script
    for name, value in {"steps": STEPS, "batch": BATCH, **settings}.items():
        code = code.replace(f"{{{name}}}", str(value))
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} failed:\n{done.stderr[-2000:]}")
    return float(next(line for line in done.stdout.splitlines() if line.startswith("RATE")).split()[1])


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode:
        print("training cifar_elu, against PyTorch: skipped, as PyTorch is not installed; name a Python with PyTorch")
        return
    compare(
        "training cifar_elu, against PyTorch",
        lambda: measure(sys.executable, _OURS, execution=10),
        lambda: measure(python, _TORCH),
        rounds=ROUNDS,
    )


if __name__ == "__main__":
    main()
