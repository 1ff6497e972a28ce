"""Two networks of this project by hand in PyTorch, as its own guides advise for a CPU: channels last, one thread per core.

Run: PYTHON tests/benchmarks/peers_in_torch.py WHAT IMAGES. WHAT: frozen (EfficientNet-Lite0 at 160 px, of which what follows
block 13 trains, through pixels), cached (the same, on one batch's activations, in memory), scratch (resnet_fast). Prints RATE,
the images/s of an epoch of IMAGES noise images of 32 px, and those per second of processor time, after two batches to warm up.
bench_peers.py runs it.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

CLASSES, SIDE, SIZE, CUT, WARM = 10, 32, 160, 13, 2
FEATURES = (11, 15, 16)  # blocks whose pooled outputs the head sees besides the last ones
# repeats, kernel, stride, expansion, filters
TABLE = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
Step = Callable[[torch.Tensor, torch.Tensor], None]


def convolve(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
    ]
    return nn.Sequential(*layers, nn.ReLU6(inplace=True)) if active else nn.Sequential(*layers)


class Block(nn.Module):
    """Expand, convolve in depth, project; added to its input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = [convolve(inputs, wide, 1)] if expansion > 1 else []
        depth = convolve(wide, wide, kernel, stride=stride, groups=wide)
        self.layers = nn.Sequential(*expand, depth, convolve(wide, outputs, 1, active=False))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class Lite0(nn.Module):
    """The backbone in blocks, and the head of the recipe of efficientnet_lite0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks, width = convolve(3, 32, 3, stride=2), nn.ModuleList(), 32
        for repeats, kernel, stride, expansion, outputs in TABLE:
            for repeat in range(repeats):
                self.blocks.append(Block(width, outputs, kernel, stride if repeat == 0 else 1, expansion))
                width = outputs
        self.last = convolve(width, 1280, 1)
        self.head = nn.Sequential(nn.Linear(1904, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, CLASSES))

    def start(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 (n, 3, 32, 32) to the activations after the cut and the pooled features before it."""
        x = functional.interpolate(images.float(), size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        x, early = self.stem((x - 127) / 128), []
        for number, block in enumerate(self.blocks[:CUT], start=1):
            x = block(x)
            if number in FEATURES:
                early.append(x.mean(dim=(2, 3)))
        return x, torch.cat(early, dim=1)

    def finish(self, x: torch.Tensor, early: torch.Tensor) -> torch.Tensor:
        """To logits."""
        pooled = [early]
        for number, block in enumerate(self.blocks[CUT:], start=CUT + 1):
            x = block(x)
            if number in FEATURES:
                pooled.append(x.mean(dim=(2, 3)))
        pooled.append(self.last(x).mean(dim=(2, 3)))
        return self.head(torch.cat(pooled, dim=1))


class Fast(nn.Module):
    """resnet_fast at width 1: whitened patches, three groups with a shortcut, GELU, normalization without a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.whiten, self.groups, width = nn.Conv2d(3, 24, 2).requires_grad_(False), nn.ModuleList(), 24
        for filters in (64, 256, 256):
            for inputs in (width, filters):
                convolution = nn.Conv2d(inputs, filters, 3, padding=1, bias=False)
                norm = nn.BatchNorm2d(filters, momentum=0.2)
                norm.weight.requires_grad_(False)
                self.groups.append(nn.ModuleList([convolution, norm]))
            width = filters
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.gelu(self.whiten(images.float()))
        for first, second in zip(self.groups[::2], self.groups[1::2], strict=True):
            x = functional.gelu(first[1](functional.max_pool2d(first[0](x), 2)))
            x = x + functional.gelu(second[1](second[0](x)))
        return self.head(x.amax(dim=(2, 3)) / 9)


def prepare_tuning(*, is_cached: bool) -> tuple[Step, int]:
    """A step, and how many images it takes: AdamW on what follows the cut; normalization as it was."""
    net = Lite0()
    for convolution in (module for module in net.modules() if isinstance(module, nn.Conv2d)):
        # As trained weights would: with PyTorch's own, numbers fade from block to block until arithmetic on them is slow.
        nn.init.kaiming_normal_(convolution.weight)
    net = net.to(memory_format=torch.channels_last).eval()
    net.head.train()
    for part in (net.stem, net.blocks[:CUT]):
        part.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=5e-4)
    maps = torch.rand(64, 192, SIZE // 32, SIZE // 32).contiguous(memory_format=torch.channels_last)
    early = torch.rand(64, 112)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.no_grad():
            given = (maps[: len(images)], early[: len(images)]) if is_cached else net.start(images)
        descend(optimizer, functional.cross_entropy(net.finish(*given), labels, label_smoothing=0.1))

    return step, 64


def prepare_scratch() -> tuple[Step, int]:
    """A step with SGD and Nesterov's momentum, half of the images mirrored, all moved by up to two pixels."""
    net = Fast().to(memory_format=torch.channels_last).train()
    learned = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.0133)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        logits = net(move(images))
        descend(optimizer, functional.cross_entropy(logits, labels, label_smoothing=0.2))

    return step, 128


def move(images: torch.Tensor) -> torch.Tensor:
    """Mirrors and moves, as airbench94 does."""
    count = len(images)
    mirrored = torch.where(torch.rand(count, 1, 1, 1) < 0.5, images.flip(-1), images)
    padded = functional.pad(mirrored.float(), (2, 2, 2, 2), mode="reflect")
    right, down = torch.randint(0, 5, (2, count))
    moved = torch.empty_like(mirrored, dtype=torch.float32)
    for x in range(5):
        for y in range(5):
            here = (right == x) & (down == y)
            moved[here] = padded[here, :, y : y + SIDE, x : x + SIDE]
    return moved


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def main() -> None:
    what, count = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(1)
    step, size = prepare_scratch() if what == "scratch" else prepare_tuning(is_cached=what == "cached")
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    labels = torch.arange(count) % CLASSES
    for _ in range(WARM):
        step(images[:size], labels[:size])
    start, used = time.perf_counter(), time.process_time()
    for rows in torch.randperm(count).split(size):
        step(images[rows], labels[rows])
    print("RATE", count / (time.perf_counter() - start), count / (time.process_time() - used))


if __name__ == "__main__":
    main()
