"""What giving families up by their learning curves would have saved, and cost: of curves that ran to their end.

Run: python tests/benchmarks/bench_giving_up.py [FOLDER]. Reads the curves of all networks in metrics/ of FOLDER, a project
after `dvc exp run -S train.max_epochs=null -S 'families=[…]'`; the working directory if none is named. For bars from 0.02
below the highest validation accuracy of each curve, which it gets over, to 0.4 above: the families that would have been given
up, and the epochs that would have run, as a share of those that did.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pandas as pd

from pipeline.config.families import FAMILIES
from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_family
from pipeline.training.learning_curve import is_hopeless

BARS = (-0.02, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    params, shares = load_params(folder / "params.yaml"), {}
    print(
        f"{'family':24} epochs  highest  given up after, with a bar of the highest {', '.join(f'{b:+}' for b in BARS)}"
    )
    for family in [name for name in params.families if FAMILIES[name].kind == "network"]:
        recipe = resolve_family(params, family)
        if recipe.schedule.kind in ("cosine", "one_cycle"):
            continue
        curve = read_curve(folder / "metrics" / family / "train")
        ends = [find_end(curve, recipe.epochs, max(curve) + more) for more in BARS]
        shares[family] = [(end or len(curve)) / len(curve) for end in ends]
        print(
            f"{family:24} {len(curve):6}  {max(curve):.4f}  {', '.join('–' if end is None else str(end) for end in ends)}"
        )
    table = pd.DataFrame(shares, index=BARS)
    for bar, row in table.iterrows():
        print(f"bar {bar:+}: {(row < 1).sum()} of {len(row)} families given up, after {row.mean():.2f} of all epochs")


def read_curve(record: Path) -> list[float]:
    """Validation accuracy by epoch."""
    table = pd.read_csv(record / "plots" / "metrics" / "eval" / "accuracy.tsv", sep="\t")
    return [float(value) for value in table["accuracy"]]


def find_end(curve: list[float], epochs: int, bar: float) -> int | None:
    """The epoch, from 1, after which a curve is given up; None: never."""
    seen = range(1, min(len(curve), epochs)) if bar < 1 else ()  # no curve gets over a bar of 1
    return next((n for n in seen if is_hopeless(curve[:n], epochs, bar)), None)


if __name__ == "__main__":
    main()
