"""The search by scikit-learn in docs/scikit-learn.md, exactly as written, except that it trains less."""

import json
import math
import re
import sys
from pathlib import Path

import pytest

from stages.download import download
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split
from tests.clone import run
from tests.conftest import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "scikit-learn.md").read_text(encoding="utf-8"), re.DOTALL)
SMALLER = {"epochs=10": "epochs=1", "[0.1, 0.2, 0.3]": "[0.1, 0.3]", "StratifiedKFold(3)": "StratifiedKFold(2)"}
TELL = """
import json
from pathlib import Path
scores = [search.cv_results_[f"split{fold}_test_score"].tolist() for fold in range(2)]
found = [search.best_params_, search.best_score_, search.cv_results_["params"], scores]
Path("found.json").write_text(json.dumps(found))
"""


def make_code() -> str:
    """The one block that is meant, smaller."""
    [code] = [block for block in BLOCKS if "KerasClassifier" in block]
    for published, smaller in SMALLER.items():
        assert code.count(published) == 1, f"docs/scikit-learn.md no longer says {published}"
        code = code.replace(published, smaller)
    return code


@pytest.mark.ci
@pytest.mark.usefixtures("one_core")
def test_the_search_that_the_docs_show_finds_a_point_of_its_grid_without_a_warning(project):
    project.set(sources__scenes__images_per_class=16, sources__scenes__image_size=32, split__seed=0)
    for stage in (download, prune, split, preprocess):
        stage()
    # In a process of its own, as TensorFlow is configured only once.
    run([sys.executable, "-W", "error", "-c", make_code() + TELL], project.folder, PYTHONPATH=str(ROOT))
    best, best_score, points, scores = json.loads(Path("found.json").read_text())
    assert points == [{"batch_size": size, "dropout": rate} for size in (16, 32) for rate in (0.1, 0.3)]
    assert best in points
    assert 0 <= best_score <= 1
    assert all(math.isfinite(score) for fold in scores for score in fold)
