"""What a plan chooses from: for each preset a ladder of ways to train, from the best to the cheapest. docs/budget.md has the
figures behind the order."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config.families import FINE_TUNED
from pipeline.config.search_space import Value

FROZEN, SVM, TUNED = "efficientnet_lite0", "efficientnet_lite0_svm", "efficientnet_lite0_fine_tuned"
SIZE, LARGE = 160, 192  # pixels


@dataclass(frozen=True)
class Rung:
    """One way to train. size: pixels, of the backbone's input. views: augmented ones of each image. epochs: of fine-tuning; 0:
    the backbone stays frozen. mirrored: whether mirror images are averaged, and trained on too. cut: the block after which the
    backbone is fine-tuned, if not that of the recipe; the same at all rungs of one size, which is measured once."""

    families: tuple[str, ...]
    size: int
    views: int
    epochs: int = 0
    mirrored: bool = False
    cut: int | None = None

    def __str__(self) -> str:
        views = {0: "", 1: ", a view of each image"}.get(self.views, f", {self.views} views of each image")
        cut = f" after block {self.cut}" if self.cut else ""
        tuned = f", fine-tuned{cut} for {self.epochs} epochs" if self.epochs else ", frozen"
        mirrored = ", mirror images averaged" if self.mirrored else ""
        return f"{self.families[0].removesuffix(FINE_TUNED)}{tuned}, {self.size} px{views}{mirrored}"

    @property
    def measured_size(self) -> int:
        """Pixels, at which it is measured how fast this machine is: a smaller size is estimated from SIZE."""
        return max(self.size, SIZE)

    @property
    def own(self) -> dict[str, Value]:
        """Parameters of the family whose recipe the others follow, and of embed."""
        name = self.families[0]
        tuned: dict[str, Value] = {f"recipes.{name}.fine_tune.epochs": self.epochs} if self.epochs else {}
        mirrored: dict[str, Value] = {"evaluate.tta": "flip"} if self.mirrored else {}
        cut: dict[str, Value] = {f"recipes.{name}.fine_tune.from": f"block {self.cut}"} if self.cut else {}
        return {"embed.views": self.views, f"recipes.{name}.input_size": self.size} | tuned | cut | mirrored

    @property
    def overrides(self) -> dict[str, Value | list[str]]:
        """The same of all families, for recipes that are whole already: see `check_params`."""
        sizes: dict[str, Value | list[str]] = {f"recipes.{name}.input_size": self.size for name in self.families}
        return {"families": list(self.families)} | sizes | self.own

    @property
    def settings(self) -> list[str]:
        """As `dvc exp run -S` takes them. A recipe may list them or not: hence the two pluses."""
        plus = {name: "++" if name.startswith("recipes.") else "" for name in self.own}
        return [f"families=[{','.join(self.families)}]", *(f"{plus[name]}{name}={v}" for name, v in self.own.items())]


def _tune(size: int, views: int, *epochs: int, mirrored: bool = False, cut: int | None = None) -> Iterator[Rung]:
    return (Rung((TUNED,), size, views, count, mirrored, cut) for count in epochs)


_FAST = (
    Rung((FROZEN, SVM), SIZE, 1),
    Rung((FROZEN, SVM), SIZE, 0),
    *(Rung((FROZEN,), size, 0) for size in (SIZE, 128, 96, 64)),
)
_GOOD = (*_tune(SIZE, 1, 4, 3, 2), *_tune(SIZE, 0, 3, 2), *_tune(144, 0, 2), *_tune(128, 0, 2), *_FAST)
_BEST = (
    *_tune(LARGE, 1, 8, 7, 6, 5, 4, mirrored=True, cut=12),
    *_tune(LARGE, 0, 4, 3, mirrored=True, cut=12),
    *_tune(LARGE, 1, 8, 6, 5, 4, cut=12),
    *_tune(LARGE, 0, 4, 3, cut=12),
    *_GOOD,
)
LADDERS: dict[str, tuple[Rung, ...]] = {"fast": _FAST, "good": _GOOD, "best": _BEST}
