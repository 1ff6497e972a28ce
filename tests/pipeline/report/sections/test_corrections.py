import re
from pathlib import Path

import pandas as pd
import pytest

from pipeline.data.corrections import CORRECTIONS_COLUMNS
from pipeline.report.page import render_page
from pipeline.report.sections.corrections import describe_corrections
from pipeline.runtime.paths import CORRECTIONS, DUPLICATES, MANIFEST, SPLITS


@pytest.fixture
def describe(tmp_path, monkeypatch):
    """The text of the section, without tags, from corrections and the splits of images; None: of an image in no split."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()

    def make(corrections: list[tuple] = (), splits: tuple[str | None, ...] = ("train", "test")) -> str:
        pd.DataFrame(corrections, columns=CORRECTIONS_COLUMNS).to_csv(CORRECTIONS, index=False)
        images = pd.DataFrame({"image_id": "", "name": [str(i) for i in range(len(splits))], "label": "cat"})
        images.to_csv(MANIFEST, index=False)
        images.assign(split=splits).dropna().to_csv(SPLITS, index=False)
        pd.DataFrame({"image_id": ["a", "a"], "split": ["test", ""]}).to_csv(DUPLICATES, index=False)
        text = re.sub(r"<[^>]*>", "", render_page("corrections.html", **describe_corrections()))
        return re.sub(r"\s+", " ", text).strip()

    return make


def correction(name: str, action: str, new: str = "", file: str = "fixes.csv") -> tuple:
    return (name, "0" * 64, "cat", new, action, file, 7)


def test_without_any_there_is_no_section(describe):
    assert describe(splits=("train", "test", None)) == ""  # a copy that is left out


def test_files_are_named_with_what_each_did(describe):
    text = describe(
        [
            correction("a<b>.png", "exclude", file="bad.txt"),
            correction("b.png", "relabel", "NA"),
            correction("c.png", "relabel", "dog"),
            correction("d.png", "keep", "cat"),
        ],
        ("train", None),
    )
    assert text.startswith("What you put right: 1 left out, 2 labelled anew")
    assert "bad.txt: 1 left out; fixes.csv: 1 label confirmed, 2 labelled anew." in text
    assert "a&lt;b&gt;.png cat" in text.replace("a&lt;b&gt;.pngcat", "a&lt;b&gt;.png cat")
    assert "left outbad.txt, row 7" in text
    assert "b.pngcatNAfixes.csv, row 7" in text
    assert "d.png" not in text
    assert text.endswith("All are in data/corrections.csv.")


def test_of_many_the_first_are_shown(describe):
    text = describe([correction(f"{i:03d}.png", "exclude") for i in range(1020)], ("train", None))
    assert "1,020 left out" in text
    assert "019.png" in text
    assert "020.png" not in text
    assert "And 1,000 more." in text


def test_thinned_images_are_counted_without_copies(describe):
    assert describe(splits=("train", None, None, None)).startswith("2 images of training are in no split")
