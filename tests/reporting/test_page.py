import re
from html.parser import HTMLParser
from typing import Any

import jinja2
import pytest

from stages.reporting.page import render_page

EVIL = "<script>alert('pwned')</script>"
PIXEL = "data:image/jpeg;base64,AAAA"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>chart</text></svg>'


def make_row(family: str = "optimized", **changes: Any) -> dict[str, Any]:
    figures = dict.fromkeys(
        ["test_accuracy", "val_accuracy", "train_accuracy", "test_macro_f1", "test_loss", "val_loss", "train_loss"], 0.5
    )
    counts = {"parameters": 10_466_449, "trainable_parameters": 10_466_443, "best_epoch": 4}
    return {"family": family, **figures, **counts, **changes}


def make_card(**changes: Any) -> dict[str, Any]:
    card = {"picture": PIXEL, "label": "cat", "predicted": "dog", "confidence": 0.75, "true_confidence": 0.125}
    return card | {"hit": False} | changes


def make_content(**changes: Any) -> dict[str, Any]:
    row = make_row()
    charts = dict.fromkeys(["comparison", "accuracy_curves", "loss_curves", "class_scores", "counts"], SVG)
    return {
        "rows": [row],
        "best": row,
        "chosen": row,
        **charts,
        "confusions": {"optimized": SVG},
        "cards": [make_card()],
        "class_names": ["cat", "dog"],
        "num_images": {"train": 1234, "val": 100, "test": 200},
        "image_size": 64,
        "strips": {"cat": PIXEL, "dog": PIXEL},
        "quarantine": [],
        "num_quarantined": 0,
        "num_copies": 0,
        "num_left_out": 0,
        "source": "scenes",
        "facts": {"Training seed": "42"},
        **changes,
    }


def render(**changes: Any) -> str:
    return render_page(**make_content(**changes))


class Reader(HTMLParser):
    """Collects tags and text, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


def read(**changes: Any) -> str:
    return Reader(render(**changes)).text


EVIL_ROW = make_row(EVIL)


class TestNames:
    @pytest.mark.parametrize(
        "changes",
        [
            {"rows": [EVIL_ROW], "best": EVIL_ROW},
            {"chosen": EVIL_ROW},
            {"best": EVIL_ROW},
            {"confusions": {EVIL: SVG}},
            {"cards": [make_card(label=EVIL)]},
            {"cards": [make_card(predicted=EVIL)]},
            {"strips": {EVIL: PIXEL}},
            {"quarantine": [{"name": EVIL, "label": EVIL, "reason": EVIL}], "num_quarantined": 1},
            {"source": EVIL},
            {"facts": {EVIL: EVIL}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_a_name_with_a_tag_in_it_is_only_text(self, changes):
        page = render(**changes)
        assert "<script" not in page
        assert EVIL in Reader(page).text

    def test_a_name_with_a_quote_does_not_end_an_attribute(self):
        page = render(strips={'" onload="alert(1)': PIXEL})
        assert all("onload" not in attributes for _, attributes in Reader(page).tags)


class TestOneFile:
    def test_nothing_is_loaded_from_elsewhere(self):
        for tag, attributes in Reader(render()).tags:
            assert tag not in {"script", "iframe", "object", "embed", "base", "form"}
            for name in ("src", "href", "srcset", "poster", "action"):
                assert (attributes.get(name) or "data:").startswith("data:")

    def test_there_is_no_address_of_the_web_in_it(self):
        page = render().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|@import|url\(", page)

    def test_it_is_a_whole_page(self):
        page = render()
        assert page.startswith("<!doctype html>")
        assert page.endswith("</html>\n")
        assert '<meta charset="utf-8">' in page

    def test_charts_are_drawn_not_shown_as_text(self):
        assert render().count(SVG) == 6

    def test_the_same_content_gives_the_same_bytes(self):
        assert render() == render()

    def test_tags_that_are_opened_are_closed(self):
        page = render(cards=[make_card(), make_card(hit=True)])
        for tag in ("table", "tr", "td", "th", "ul", "li", "div", "figure", "p", "h2", "h3", "span", "main"):
            assert len(re.findall(rf"<{tag}[ >]", page)) == page.count(f"</{tag}>")


class TestWords:
    def test_the_headline_says_which_family_to_use_and_how_good_it_is(self):
        assert "Use optimized: it names 50.0 % of 200 test images rightly." in read()

    @pytest.mark.parametrize(("count", "words"), [(1, "among 1 family by"), (2, "among 2 families by")])
    def test_families_are_counted(self, count, words):
        assert words in read(rows=[make_row(f"family {number}") for number in range(count)])

    def test_it_is_said_where_another_family_did_better_on_the_test_images(self):
        better = make_row("lucky", test_accuracy=0.75)
        assert "lucky did better (75.0 %)" in read(best=better, rows=[better, make_row()])
        assert "did better" not in read()

    def test_a_family_without_epochs_shows_a_dash(self):
        assert "10,466,449–" in read(rows=[make_row(best_epoch=None)])

    def test_a_card_says_what_was_named_and_what_it_is(self):
        text = read(cards=[make_card()])
        assert "✗ dog 75.0 %" in text
        assert "is cat, given 12.5 %" in text
        assert "✓ cat 75.0 %" in read(cards=[make_card(predicted="cat", hit=True)])

    def test_quarantined_files_are_counted_beyond_those_that_are_shown(self):
        row = {"name": "a.jpg", "label": "cat", "reason": "truncated"}
        text = read(quarantine=[row], num_quarantined=1200)
        assert "Files that can't be used: 1,200" in text
        assert "The first 1; all are in data/quarantine.csv." in text
        assert "Every file could be decoded." in read()

    @pytest.mark.parametrize(("left_out", "words"), [(0, "0 copies were"), (1, "1 copy was"), (2, "2 copies were")])
    def test_identical_files_are_counted(self, left_out, words):
        assert words in read(num_copies=3, num_left_out=left_out)
        assert "No two files have the same bytes." in read()

    def test_classes_without_samples_are_counted(self):
        assert "The first 2 of 100 classes." in read(class_names=[str(number) for number in range(100)])

    def test_nothing_may_be_missing(self):
        content = make_content()
        del content["facts"]
        with pytest.raises(jinja2.UndefinedError):
            render_page(**content)
