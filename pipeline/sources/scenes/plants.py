"""Trees, leaves and grass."""

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, Colour, mix, ramp, shaded

LEAVES = ((62, 104, 44), (86, 122, 50), (40, 78, 46), (152, 126, 44), (176, 96, 40), (136, 62, 38), (112, 128, 84))


def conifer(canvas: Canvas, x: float, y: float, tall: float, wide: float, colour: Colour, snow: float) -> None:
    """Fir standing at (x, y): tiers of branches, a lit side and a share of snow on it."""
    light = canvas.light
    side = 1 if light.sun_x > 0 else -1
    tiers = 5
    lit = mix(colour * 1.25, light.lit((235, 240, 246)), snow)
    for tier in range(tiers):
        top, low = y - tall * (1 - tier / tiers * 0.9), y - tall * (1 - (tier + 1.35) / tiers * 0.88)
        half = wide * (tier + 1.2) / tiers / 2
        canvas.polygon([(x, top), (x - half, low), (x + half, low)], colour)
        if snow > 0.3:
            cap, middle = half * 0.6, top + (low - top) * 0.55
            canvas.polygon(
                [(x, top), (x - cap, middle), (x + side * cap / 2, middle * 0.4 + low * 0.6), (x + cap, middle)], lit
            )
        else:
            canvas.polygon([(x, top), (x + side * half * 0.25, low), (x + side * half, low)], lit)


def crown(canvas: Canvas, x: float, y: float, radius: float, colour: Colour) -> None:
    """Deciduous crown: overlapping clumps, lighter towards the top."""
    canvas.disc(x, y, radius * 0.8, radius * 0.7, colour * 0.7)
    for dx, dy, size in canvas.rng.uniform(-1, 1, (16, 3)):
        dx, dy, clump = dx * radius * 0.8, dy * radius * 0.65, radius * (0.24 + 0.1 * size)
        canvas.disc(x + dx, y + dy, clump, clump * 0.8, colour * (1 - 0.35 * dy / radius))


def tree(canvas: Canvas, x: float, y: float, tall: float, colour: Colour) -> None:
    """Deciduous tree with its trunk, standing at (x, y)."""
    canvas.line([(x, y), (x, y - tall * 0.6)], canvas.light.lit((70, 58, 48)), tall * 0.06)
    crown(canvas, x, y - tall * 0.68, tall * 0.36, colour)


def tuft_row(canvas: Canvas, level: float, colour: Colour) -> None:
    """Grass blades and twigs along the lower border."""
    for x, lean, tall in canvas.rng.random((26, 3)):
        canvas.line([(x, 1.0), (x + (lean - 0.5) * 0.08, level - tall * 0.12)], colour * (0.6 + 0.6 * lean), 0.006)


def foliage(canvas: Canvas, colours: list[Colour], mask: np.ndarray | None, cells: int) -> None:
    """Leaves as clumped noise between two colours, with dark gaps."""
    clumps, leaves = canvas.field(cells, cells, 0.8), canvas.field(40, 40, 0.9)
    texture = mix(canvas.light.lit(colours[0]), canvas.light.lit(colours[1]), ramp(clumps, -1, 1))
    shade = np.clip(0.8 + 0.24 * clumps + 0.2 * leaves, 0.15, 1.6)
    canvas.paint(shaded(texture, shade), mask)


def leaf_colours(rng: np.random.Generator) -> list[Colour]:
    """Two leaf colours, often of the same season."""
    # the green half of the table in two pictures of three: summer is long
    first = np.array(LEAVES[rng.integers(3 if rng.random() < 0.5 else len(LEAVES))], np.float32)
    second = np.array(LEAVES[rng.integers(len(LEAVES))], np.float32)
    snowy = rng.random() < 0.16
    pale = np.array((222, 228, 234), np.float32)
    return [mix(first, pale, 0.75 if snowy else 0.0), mix(mix(first, second, 0.6), pale, 0.3 if snowy else 0.0)]
