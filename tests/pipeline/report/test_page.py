import re
from html.parser import HTMLParser
from typing import Any

import jinja2
import pytest

from pipeline.report.page import balance_columns, frame_chart, render_page

EVIL = "<script>alert('pwned')</script>"
PIXEL = "data:image/jpeg;base64,AAAA"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>chart</text></svg>'
CHARTS = (
    "comparison", "accuracy_curves", "loss_curves", "class_scores", "roc", "pr", "reliability", "counts", "found", "light",
)  # fmt: skip
METRICS = (
    "balanced_accuracy", "top2_accuracy", "top5_accuracy", "macro_precision", "macro_recall", "macro_f1",
    "weighted_precision", "weighted_recall", "weighted_f1", "roc_auc", "pr_auc", "loss", "kappa", "mcc",
)  # fmt: skip
ALL_SECTIONS = ["which", "sure", "samples", "wrong", "data", "cost", "outside", "again"]


def make_row(family: str = "optimized", **changes: Any) -> dict[str, Any]:
    metrics = dict.fromkeys(
        ["test_accuracy", "val_accuracy", "train_accuracy", "test_macro_f1", "test_loss", "val_loss", "train_loss"], 0.5
    )
    interval = {"test_accuracy_low": 0.4, "test_accuracy_high": 0.6}
    return {
        "family": family,
        **metrics,
        **interval,
        "parameters": 10_466_449,
        "trainable_parameters": 10_466_449,
        "verdict": "balanced",
        **changes,
    }


def make_metrics(**changes: Any) -> dict[str, Any]:
    """Metrics of the chosen family."""
    ends = {
        f"test_{name}_{end}": 0.25 for name in ("accuracy", "macro_f1", "balanced_accuracy") for end in ("low", "high")
    }
    accuracies = {"train_accuracy": 0.9, "val_accuracy": 0.7, "verdict": "balanced", "asked_coverage": 0.9}
    return {**{f"test_{name}": 0.125 for name in METRICS}, **ends, **accuracies, **changes}


def make_guessing(**changes: Any) -> dict[str, Any]:
    return {
        "measure": "accuracy", "column": None, "value": 0.5, "guess": 0.25, "is_share": True, "is_better": True, "label": "cat",
        "accuracy": 0.25, "versus": {"optimized": True, "other": False}, "images_needed": 34, "is_unequal": False,
        "is_tie": False, "is_dealt": False, "is_dealing": True,
    } | changes  # fmt: skip


def make_zero_shot(**changes: Any) -> dict[str, Any]:
    row = {
        "preset": "clip",
        "prompts": ["a CLASS"],
        "accuracy": 0.375,
        "low": 0.25,
        "high": 0.5,
        "val_accuracy": 0.4375,
    }
    return row | changes


def make_versus(**changes: Any) -> dict[str, Any]:
    """How another family compares with the chosen one."""
    return {
        "only_family": 1200, "only_reference": 34, "difference": 0.05, "p_corrected": 0.25, "distinguishable": False,
        "images_needed": 1500,
    } | changes  # fmt: skip


def make_card(**changes: Any) -> dict[str, Any]:
    card = {"picture": PIXEL, "name": "cat/1.png", "label": "cat", "predicted": "dog", "confidence": 0.75}
    return card | {"true_confidence": 0.125, "hit": False} | changes


def make_pair(**changes: Any) -> dict[str, Any]:
    return {"label": "cat", "predicted": "dog", "images": 1200, "share": 0.25, "cards": [make_card()]} | changes


def make_strip(**changes: Any) -> dict[str, Any]:
    pair = {"label": "cat", "predicted": "dog", "images": 1200, "share": 0.25, "strip": PIXEL, "width": 64}
    return pair | {"names": ["cat/1.png"], "confidences": [0.75, 0.5]} | changes


def make_report(**changes: Any) -> dict[str, Any]:
    scores = {"precision": 0.5, "recall": 0.25, "f1": 0.75}
    row = {"label": "cat", **scores, "support": 1200} | changes
    return {"classes": [row], "accuracy": 0.875, "support": 2400, "macro": scores, "weighted": scores}


def make_phase(**changes: Any) -> dict[str, Any]:
    frozen, tuned = make_row("net", trainable_parameters=2048), make_row("net_fine_tuned", test_accuracy=0.625)
    return {"name": "net", "frozen": frozen, "tuned": tuned, "versus": make_versus(difference=0.125)} | changes


def make_issue(**changes: Any) -> dict[str, Any]:
    issue = {"picture": PIXEL, "name": "cat/1.png", "split": "test", "label": "cat", "suggested": "dog"}
    return issue | {"label_probability": 0.125, "suggested_probability": 0.75} | changes


def make_near(**changes: Any) -> dict[str, Any]:
    near = {"picture": PIXEL, "name": "cat/1.png", "split": "test", "label": "cat", "train_name": "dog/2.png"}
    return near | {"train_label": "dog", "similarity": 0.975} | changes


def make_architecture(**changes: Any) -> dict[str, Any]:
    layer = {"layer": "dense", "kind": "Dense", "rows": 1, "columns": 1, "channels": 2000, "parameters": 6000}
    return {"picture": SVG, "layers": [layer | changes]}


def make_reading(**changes: Any) -> dict[str, Any]:
    return {
        "num_classes": 1, "classes": {"cat": 1234}, "more_classes": 0, "splits": {"train": 1000}, "wrappers": ["archive"],
        "left_out": [{"reason": "no picture", "count": 2, "example": "notes.txt"}], "more_left_out": 0,
        "warnings": ["two readings"], "more_warnings": 0, "notes": ["labels.csv is read"],
    } | changes  # fmt: skip


def make_corrections(file: str = "fixes.csv", **changes: Any) -> dict[str, Any]:
    row = {"name": "cat/1.png", "label": "cat", "new_label": "dog", "action": "relabel", "file": file, "row": "3"}
    files = [(file, "1 labelled anew")]
    return {"num_excluded": 0, "num_relabelled": 1, "files": files, "rows": [row | changes], "more": 0}


def make_leak(**changes: str) -> dict[str, str]:
    leak = {
        "name": "a.png",
        "label": "cat",
        "split": "test",
        "kind": "near",
        "train_name": "b.png",
        "train_label": "dog",
    }
    return leak | changes


def make_pixels(**changes: Any) -> dict[str, Any]:
    row = {"split": "train", "stage": "before", "images": 1200, "least": 3, "greatest": 250}
    return row | {"black": 0.00125, "white": 0.5} | changes


def make_outside(**changes: Any) -> dict[str, Any]:
    card = {"picture": PIXEL, "name": "cat/1.png", "label": "cat", "predicted": "dog", "confidence": 0.75}
    return {
        "num_images": 1200, "num_labelled": 1000, "accuracy": 0.875, "interval": (0.75, 0.9), "num_far": 7,
        "cards": [card | {"distance": 1.25, "far": True, "hit": False}], "bad": [], "num_bad": 0,
    } | changes  # fmt: skip


def make_refusals(family="optimized", kind="noise"):
    row = {"family": family, "score": "distance", "is_used": True, "alarms": 0.0625, "found": {kind: (0.875, 0.75)}}
    return {"kinds": [kind], "rows": [row], "refuses": True}


def make_slices(**changes: Any) -> dict[str, Any]:
    row = {
        "property": "light", "group": "darkest: 25 or less", "images": 1200, "accuracy": 0.5, "low": 0.25, "high": 0.75,
        "expected": 0.875, "p": 0.0001, "p_corrected": 0.002, "is_weak": True,
    }  # fmt: skip
    return {"rows": [row], "weak": [], "tested": 7, "least": 10} | changes


def make_export(**changes: Any) -> dict[str, Any]:
    return {
        "format": "onnx", "bytes": 1_250_000, "agreement": 1.0, "largest_difference": 2e-6,
        "accuracy": 0.875, "accuracy_low": 0.75, "accuracy_high": 0.9375, "model_accuracy": 0.875, "status": "kept",
        "reason": "", "images": 1200, "distance_difference": 3e-5,
    } | changes  # fmt: skip


def make_content(**changes: Any) -> dict[str, Any]:
    """What the page is given: one family, two classes, and nothing that calls for a warning."""
    row = make_row()
    calibration = dict.fromkeys(["test_ece", "test_ece_calibrated", "test_brier", "test_brier_calibrated"], 0.125)
    calibration |= {"test_loss": 1.5, "test_loss_calibrated": 1.25, "temperature": 1.75}
    by_class = {"precision": 0.5, "recall": 0.25, "f1": 0.75, "roc_auc": 0.9, "pr_auc": 0.8, "support": 1200}
    by_class |= {"set_coverage": 0.875, "set_size": 1.25}
    sets = {"coverage": 0.9375, "low": 0.875, "high": 0.96875, "size": 1.5, "single": 0.625}
    return {
        **dict.fromkeys(CHARTS, SVG),
        "rows": [row],
        "chosen": row,
        "metrics": make_metrics(),
        "versus": {},
        "all_worse": True,
        "as_good": [],
        "ties": [],
        "beaten_by": [],
        "least_for_sets": 9,
        "guessing": make_guessing(),
        "zero_shot": [],
        "unpredicted": [],
        "ensemble": None,
        "few_images": 10,
        "classes": [{"label": "cat", **by_class}],
        "calibrations": [{"family": "optimized", **calibration}],
        "mirrored": [],
        "given_up": {},
        "sets": [{"family": "optimized", **sets}],
        "refusals": make_refusals(),
        "slices": make_slices(),
        "error_costs": None,
        "exports": {},
        "architectures": {"optimized": make_architecture()},
        "has_counts": True,
        "confusions": {"optimized": SVG},
        "pairs": [],
        "other_pairs": {},
        "phases": [],
        "class_reports": {"optimized": {"train": make_report(), "test": make_report()}},
        "samples": [],
        "sample_seed": 42,
        "confident_mistakes": [],
        "unsure_hits": [],
        "num_mistakes": 0,
        "heat_maps": [],
        "fold_family": "",
        "num_issues": {"test": 0, "val": 0, "train": 0},
        "issues": [],
        "near_copy": 0.9,
        "num_near": {"test": 0, "val": 0},
        "num_similar": {"test": 0, "val": 0},
        "num_near_other_label": 0,
        "near": [],
        "without": [],
        "class_names": ["cat", "dog"],
        "num_images": {"train": 1234, "val": 100, "test": 200},
        "image_size": 64,
        "resize": "stretch",
        "homogeneity": {
            "chi_squared": 1.5, "degrees_of_freedom": 4, "p": 0.75, "least_expected": 20.0, "near_duplicate": 0.95,
        },
        "shapes": {
            "widths": [32, 64, 128], "heights": [16, 48, 96], "ratios": [0.5, 1.0, 2.0], "modes": {"RGB": 1234}, "chart": SVG,
        },
        "pixels": [],
        "strips": {"cat": PIXEL, "dog": PIXEL},
        "augmented": [],
        "quarantine": [],
        "num_quarantined": 0,
        "losses": [],
        "faults": {},
        "num_copies": 0,
        "num_left_out": 0,
        "corrections": None,
        "num_thinned": 0,
        "reading": None,
        "leaks": [],
        "num_leaks": {"test": 0, "val": 0},
        "num_copies_held": 0,
        "group": "exact",
        "num_groups": None,
        "largest_group": None,
        "outside": None,
        "source": "scenes",
        "overrides": {},
        "ignored": {},
        "facts": {"Training seed": "42"},
        "key": "0123456789abcdef",
        **changes,
    }  # fmt: skip


def make_full_content(**changes: Any) -> dict[str, Any]:
    """With everything that a page may have."""
    other = make_row("other")
    full = {
        "rows": [make_row(), other],
        "zero_shot": [make_zero_shot()],
        "versus": {"other": make_versus(), "ensemble": make_versus()},
        "ties": ["other"],
        "ensemble": {
            "weights": {"optimized": 0.75, "other": 0.25},
            "verdict": "tied",
            "accuracy": 0.5,
            **make_versus(),
        },
        "samples": [make_card(), make_card(predicted="cat", hit=True)],
        "phases": [make_phase()],
        "pairs": [make_pair()],
        "other_pairs": {"other": [make_strip(), make_strip()], "net": []},
        "pixels": [make_pixels()],
        "confident_mistakes": [make_card()],
        "unsure_hits": [make_card(predicted="cat", hit=True)],
        "num_mistakes": 100,
        "heat_maps": [make_card(heat=PIXEL, family="other")],
        "num_issues": {"test": 1, "val": 0},
        "issues": [make_issue()],
        "num_near": {"test": 1, "val": 0},
        "near": [make_near()],
        "without": [
            {"family": "optimized", "all": 0.5, "without_near": 0.4, "without_issues": 0.6, "without_both": None}
        ],
        "augmented": [{"families": ["optimized", "other"], "picture": PIXEL, "columns": 5}],
        "quarantine": [{"name": "a.jpg", "label": "cat", "reason": "truncated"}],
        "num_quarantined": 1,
        "losses": [{"label": "cat", "lost": 1, "found": 20, "share": 0.05}],
        "faults": {"nearly black": "2 of cat"},
        "num_copies": 3,
        "num_left_out": 2,
        "corrections": make_corrections(),
        "num_thinned": 7,
        "reading": make_reading(),
        "leaks": [make_leak()],
        "num_leaks": {"test": 1, "val": 0},
        "num_groups": 1200,
        "largest_group": 3,
        "outside": make_outside(bad=[{"name": "b.png", "reason": "truncated"}], num_bad=1),
        "overrides": {"train.epochs": "5"},
        "ignored": {"linear_svm": ["train.epochs"]},
    }
    return make_content(**full | changes)


def render(**changes: Any) -> str:
    return render_page("report.html", **make_content(**changes))


class Reader(HTMLParser):
    """Collects tags and text, as a browser would see them; scripts apart from the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)
        elif self.cdata_elem != "style":
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
            {"rows": [EVIL_ROW]},
            {"chosen": EVIL_ROW},
            {"zero_shot": [make_zero_shot(preset=EVIL)]},
            {"zero_shot": [make_zero_shot(prompts=[EVIL])]},
            {"versus": {EVIL: make_versus()}},
            {"rows": [make_row(), EVIL_ROW], "beaten_by": [EVIL]},
            {"rows": [make_row(), EVIL_ROW], "ties": [EVIL]},
            {"ensemble": {"weights": {EVIL: 1.0}, "verdict": "tied", "accuracy": 0.5, **make_versus()}},
            {"ensemble": {"weights": {EVIL: 0.5, "a": 0.5}, "verdict": "tied", "accuracy": 0.5, **make_versus()}},
            {"calibrations": [make_content()["calibrations"][0] | {"family": EVIL}]},
            {"architectures": {EVIL: make_architecture()}},
            {"architectures": {"optimized": make_architecture(layer=EVIL)}},
            {"architectures": {"optimized": make_architecture(kind=EVIL)}},
            {"confusions": {EVIL: SVG}},
            {"classes": [make_content()["classes"][0] | {"label": EVIL}]},
            {"slices": make_slices(rows=[make_slices()["rows"][0] | {"group": EVIL}])},
            {
                "error_costs": {
                    "rows": [{"family": EVIL, "probable": 1.0, "least": 1.0, "changed": 0, "p": 1.0}],
                    "confusion": SVG,
                }
            },
            {"exports": {EVIL: [make_export()]}},
            {"exports": {"optimized": [make_export(reason=EVIL)]}},
            {"sets": [make_content()["sets"][0] | {"family": EVIL}]},
            {"refusals": make_refusals(family=EVIL)},
            {"refusals": make_refusals(kind=EVIL)},
            {"pairs": [make_pair(label=EVIL)]},
            {"pairs": [make_pair(predicted=EVIL)]},
            {"other_pairs": {EVIL: [make_strip()]}},
            {"other_pairs": {"other": [make_strip(label=EVIL)]}},
            {"other_pairs": {"other": [make_strip(predicted=EVIL)]}},
            {"class_reports": {EVIL: {"train": make_report(), "test": make_report()}}},
            {"class_reports": {"optimized": {"train": make_report(), "test": make_report(label=EVIL)}}},
            {"phases": [make_phase(name=EVIL)]},
            {"samples": [make_card(label=EVIL)]},
            {"samples": [make_card(predicted=EVIL)]},
            {"samples": [make_card(name=EVIL)]},
            {"confident_mistakes": [make_card(label=EVIL)]},
            {"confident_mistakes": [make_card(predicted=EVIL)]},
            {"unsure_hits": [make_card(name=EVIL)]},
            {"heat_maps": [make_card(heat=PIXEL, family=EVIL)]},
            {"heat_maps": [make_card(heat=PIXEL, family="one", predicted=EVIL)]},
            {"issues": [make_issue(label=EVIL)]},
            {"issues": [make_issue(suggested=EVIL)]},
            {"issues": [make_issue(name=EVIL)]},
            {"near": [make_near(label=EVIL)]},
            {"near": [make_near(train_label=EVIL)]},
            {"near": [make_near(train_name=EVIL)]},
            {"num_issues": {"test": 1, "val": 0}, "without": [make_full_content()["without"][0] | {"family": EVIL}]},
            {"shapes": make_content()["shapes"] | {"modes": {EVIL: 3}}},
            {"strips": {EVIL: PIXEL}},
            {"augmented": [{"families": [EVIL, "other"], "picture": PIXEL, "columns": 5}]},
            {"quarantine": [{"name": EVIL, "label": EVIL, "reason": EVIL}], "num_quarantined": 1},
            {"outside": make_outside(cards=[make_outside()["cards"][0] | {"name": EVIL}])},
            {"outside": make_outside(cards=[make_outside()["cards"][0] | {"predicted": EVIL}])},
            {"outside": make_outside(bad=[{"name": EVIL, "reason": EVIL}], num_bad=1)},
            {"reading": make_reading(classes={EVIL: 1})},
            {"reading": make_reading(wrappers=[EVIL])},
            {"reading": make_reading(left_out=[{"reason": EVIL, "count": 1, "example": EVIL}])},
            {"reading": make_reading(warnings=[EVIL])},
            {"reading": make_reading(notes=[EVIL])},
            {"corrections": make_corrections(EVIL)},
            {"corrections": make_corrections(name=EVIL)},
            {"corrections": make_corrections(label=EVIL, new_label=EVIL)},
            {"leaks": [make_leak(name=EVIL, train_name=EVIL, train_label=EVIL)]},
            {"source": EVIL},
            {"overrides": {"train.optimizer": EVIL}},
            {"facts": {EVIL: EVIL}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_a_name_with_a_tag_in_it_is_only_text(self, changes):
        page = render(**changes)
        assert page.count("<script") == render().count("<script")
        assert EVIL in Reader(page).text

    @pytest.mark.parametrize(
        "changes",
        [
            lambda name: {"strips": {name: PIXEL}},
            lambda name: {"confident_mistakes": [make_card(label=name)]},
            lambda name: {"issues": [make_issue(label=name)]},
            lambda name: {"other_pairs": {"other": [make_strip(label=name, predicted=name, names=[name])]}},
        ],
        ids=["strip", "card", "issue", "pair"],
    )
    def test_a_name_with_a_quote_does_not_end_an_attribute(self, changes):
        page = render(**changes('" onload="alert(1)'))
        assert all("onload" not in attributes for _, attributes in Reader(page).tags)

    def test_a_name_can_not_end_the_script_or_a_text_in_it(self):
        name = "\"; alert(1); // '</script>"
        scripts = Reader(render(chosen=make_row(name), key=name)).scripts
        assert scripts == [script for script in scripts if "alert(1)" in script]
        assert all(re.search(r'(?<!\\)"; alert', script) is None for script in scripts)


class TestOneFile:
    def test_nothing_is_loaded_but_what_is_beside_it(self):
        for tag, attributes in Reader(render_page("report.html", **make_full_content())).tags:
            assert tag not in {"iframe", "object", "embed", "base", "form", "link"} or attributes["href"] == "data:,"
            for name in ("src", "srcset", "poster", "action"):
                assert (attributes.get(name) or "data:").startswith("data:") or attributes[name] == "run.js"
            assert (attributes.get("href") or "#").startswith(("#", "data:"))

    def test_one_script_is_within_the_page_and_one_beside_it(self):
        tags = Reader(render_page("report.html", **make_full_content())).tags
        assert [attributes for tag, attributes in tags if tag == "script"] == [{}, {"src": "run.js"}]

    def test_there_is_no_web_address_in_it(self):
        page = render_page("report.html", **make_full_content()).replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|@import|url\(", page)

    def test_it_is_a_complete_page(self):
        page = render()
        assert page.startswith("<!doctype html>")
        assert page.endswith("</html>\n")
        assert '<meta charset="utf-8">' in page

    def test_charts_are_drawn_not_shown_as_text(self):
        shapes_matrix_architecture = 3
        assert render().count(SVG) == len(CHARTS) + shapes_matrix_architecture

    def test_the_same_content_gives_the_same_bytes(self):
        assert render_page("report.html", **make_full_content()) == render_page("report.html", **make_full_content())

    @pytest.mark.parametrize("make", [make_content, make_full_content], ids=["least", "full"])
    def test_every_opened_tag_is_closed(self, make):
        page = re.sub(r"(?s)<script>.*?</script>", "", render_page("report.html", **make()))
        tags = "html head body main nav style title h1 h2 h3 p a b em code span div ul li dl dt dd section figure "
        tags += "figcaption details summary table thead tbody tr td th svg"
        for tag in tags.split():
            assert len(re.findall(rf"<{tag}[ >]", page)) == page.count(f"</{tag}>"), tag

    @pytest.mark.parametrize("name", sorted(make_content()))
    def test_nothing_may_be_missing(self, name):
        content = make_full_content()
        del content[name]
        with pytest.raises((jinja2.UndefinedError, TypeError)):  # the latter from what goes into the script as JSON
            render_page("report.html", **content)


class TestSentences:
    @pytest.mark.parametrize("verdict", ["balanced", "overfitted", "underfitted", "both"])
    @pytest.mark.parametrize("changes", [{}, {"ties": []}, {"beaten_by": ["other"]}], ids=["ties", "best", "beaten"])
    def test_there_is_a_space_between_them(self, verdict, changes):
        page = render_page("report.html", **make_full_content(metrics=make_metrics(verdict=verdict), **changes))
        assert re.findall(r"[a-z%)][.:][A-Z]\S*|\)\.\d", Reader(page).text) == []


class TestSections:
    def sections(self, **changes: Any) -> list[str | None]:
        return [attributes.get("id") for tag, attributes in Reader(render(**changes)).tags if tag == "h2"]

    def links(self, **changes: Any) -> list[str | None]:
        return [attributes["href"] for tag, attributes in Reader(render(**changes)).tags if tag == "a"]

    def test_they_come_in_the_order_of_the_questions(self):
        assert self.sections(outside=make_outside()) == ALL_SECTIONS

    def test_outside_pictures_have_one_only_where_somebody_asked_for_them(self):
        assert self.sections() == [name for name in ALL_SECTIONS if name != "outside"]

    @pytest.mark.parametrize("outside", [None, make_outside()], ids=["without outside", "with outside"])
    def test_each_has_a_link_at_the_top(self, outside):
        assert self.links(outside=outside) == [f"#{name}" for name in self.sections(outside=outside)]


class TestWhich:
    def test_the_headline_says_which_family_to_use_and_how_good_it_is(self):
        text = read()
        assert "Use optimized: it classifies 50.0 % of 200 test images correctly." in text
        assert "On images of the same kind, its accuracy is 40.0 % to 60.0 % (95 % interval)" in text

    def test_it_says_what_guessing_gives(self):
        words = "Always answering cat, the most frequent class in training, would be right for 25.0 % of 200 test"
        assert f"{words} images; optimized is right for 50.0 %." in read()
        assert "cat, one of the most frequent classes in training," in read(guessing=make_guessing(is_tie=True))

    def test_by_cost_guessing_is_the_cheapest_answer_and_predict_has_to_be_told(self):
        text = read(guessing=make_guessing(measure="mean cost", value=0.75, guess=1.5, is_share=False))
        assert "Use optimized with predict --costs: its mean cost is 0.750" in text
        assert "Always answering cat, which costs least, would be right" in text

    def test_answers_dealt_out_are_the_better_guess_where_test_images_are_mixed_otherwise(self):
        dealt = make_guessing(is_better=False, is_dealt=True, guess=0.41)
        words = "Its own answers, dealt out to the images at random, would be right for 41.0 %."
        assert words in read(guessing=dealt)
        assert words not in read(guessing=dealt | {"is_dealt": False})

    def test_the_title_recommends_no_guesser(self):
        assert "<title>Which model? None of these yet</title>" in render(guessing=make_guessing(is_better=False))
        assert "<title>Which model? optimized, 50.0" in render()

    def test_a_guesser_is_not_recommended(self):
        text = read(guessing=make_guessing(is_better=False, images_needed=None))
        assert "Use optimized" not in text
        assert "optimized, the best on validation images, is not distinguishably better than guessing." in text
        assert "More or better images, other settings or another family are needed." in text

    def test_too_few_test_images_for_a_claim_say_how_many_would_do(self):
        text = read(guessing=make_guessing(is_better=False, images_needed=1234))
        assert "would take about 1,234 test images (power 80 %)." in text

    def test_the_headline_is_of_the_measure_that_families_are_chosen_by(self):
        text = read(guessing=make_guessing(measure="balanced accuracy", value=0.75, guess=0.5))
        assert "Use optimized: its balanced accuracy is 75.0 % on 200 test images." in text
        assert "Guessing has a balanced accuracy of 50.0 %." in text
        assert "by balanced accuracy on 100 validation images" in text

    def test_a_loss_is_no_percentage(self):
        text = read(guessing=make_guessing(measure="log loss", value=0.75, guess=1.5, is_share=False))
        assert "its log loss is 0.750 on" in text
        assert "Guessing has a log loss of 1.500." in text

    def test_classes_that_are_never_predicted_are_named(self):
        assert "optimized never predicts dog." in read(unpredicted=["dog"])
        many = [f"c{number}" for number in range(8)]
        assert "optimized never predicts c0, c1, c2, c3, c4 and 3 more classes." in read(unpredicted=many)

    def test_families_that_are_no_better_than_guessing_are_marked(self):
        assert "no better than guessing" in read(rows=[make_row(), make_row("other")], versus={"other": make_versus()})

    def test_what_a_preset_classifies_untrained_stands_beside_guessing_with_its_prompts(self):
        text = read(zero_shot=[make_zero_shot(prompts=["a CLASS", "the CLASS"])])
        row = text[text.index("clip, zero-shot") : text.index("always cat")]
        assert " ".join(row.split()) == "clip, zero-shot37.5 %25.0 – 50.0 %43.8 %names alone, untrained"
        assert "in “a CLASS”, “the CLASS” (evaluate.prompts)" in text
        assert "ero-shot" not in read()

    def test_ties_say_how_many_images_would_decide(self):
        assert "1,500" in read(rows=[make_row(), make_row("other")], versus={"other": make_versus()})

    @pytest.mark.parametrize(
        ("others", "ensemble", "words"),
        [
            ([], None, "among 1 family by"),
            (["other"], None, "among 2 families by"),
            (["other", "ensemble"], {"verdict": "tied"}, "among 2 families by"),
        ],
        ids=["one", "two", "two and an ensemble"],
    )
    def test_families_are_counted(self, others, ensemble, words):
        versus = {name: make_versus() for name in others}
        ensemble = ensemble and {"weights": {"optimized": 1.0}, "accuracy": 0.5, **make_versus(), **ensemble}
        assert words in read(versus=versus, ensemble=ensemble)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({}, "Every other family is significantly worse."),
            (
                {"ties": ["a", "b"], "all_worse": False},
                "200 test images are too few to tell a, b from it: if another would cost you less",
            ),
            (
                {"as_good": ["a"], "all_worse": False},
                "As good to within a point on these test images: a; use the one that costs you",
            ),
            ({"beaten_by": ["lucky"]}, "lucky did significantly better on the test images"),
        ],
        ids=["best", "ties", "as good", "beaten"],
    )
    def test_it_says_how_certain_the_choice_is(self, changes, words):
        assert words in read(rows=[make_row(), make_row("other")], **changes)
        assert words not in read(**changes)  # a family alone

    @pytest.mark.parametrize(
        ("verdict", "words"),
        [
            ("overfitted", "It is overfitted: 90.0 %"),
            ("underfitted", "It is underfitted: only 90.0 %"),
            ("both", "It is both underfitted and overfitted: 90.0 % in training, 70.0 % in validation."),
        ],
    )
    def test_a_poor_fit_is_part_of_the_answer(self, verdict, words):
        assert words in read(metrics=make_metrics(verdict=verdict))
        assert words not in read()

    @pytest.mark.parametrize(
        ("versus", "words"),
        [
            (make_versus(distinguishable=False, difference=0.2), "not significant"),
            (make_versus(distinguishable=False, difference=-0.2), "not significant"),
            (make_versus(distinguishable=True, difference=0.2), "better"),
            (make_versus(distinguishable=True, difference=-0.2), "worse"),
        ],
    )
    def test_each_family_is_better_worse_or_not_significantly_different(self, versus, words):
        page = render(rows=[make_row(), make_row("other")], versus={"other": versus})
        rows = [Reader(row).text for row in re.findall(r"(?s)<tr.*?</tr>", page) if "<td>other</td>" in row]
        assert len(rows) == 2  # in the table of families and in that of comparisons
        assert all(row.endswith(words) for row in rows)

    def test_the_chosen_family_is_marked(self):
        [row, *_] = re.findall(r'(?s)<tr class="chosen">.*?</tr>', render(rows=[make_row("other"), make_row()]))
        assert "<td>optimized</td>" in row
        assert "chosen</td>" in row

    def test_the_interval_has_one_percent_sign(self):
        assert "40.0 – 60.0 %" in read()

    def test_what_an_ensemble_lacks_is_a_dash(self):
        ensemble = make_row("ensemble", train_accuracy=None, verdict=None)
        page = render(rows=[make_row(), ensemble], versus={"ensemble": make_versus()})
        row = next(row for row in re.findall(r"(?s)<tr.*?</tr>", page) if "<td>ensemble</td>" in row)
        assert re.findall(r"<td[^>]*>([^<]*)</td>", row).count("–") == 2

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (
                {"verdict": "better"},
                "The ensemble is significantly better than optimized alone (75.0 % right against 50.0 %",
            ),
            ({"verdict": "worse"}, "The ensemble is significantly worse than optimized alone"),
            ({"verdict": "tied"}, "The ensemble is not significantly better than optimized alone"),
            ({"verdict": "tied", "weights": {"one": 1.0}}, "The validation images give all weight to one"),
        ],
        ids=["better", "worse", "tied", "one has all weight"],
    )
    def test_the_ensemble_is_judged(self, changes, words):
        ensemble = {"weights": {"one": 0.75, "other": 0.25}, "accuracy": 0.75, **make_versus(), **changes}
        text = read(ensemble=ensemble)
        assert words in text
        together = "one 0.75, other 0.25. Each answer takes the time of all of them."
        assert together in text or ("one 1.00." in text and "takes the time of all" not in text)
        assert "ensemble" not in read()


class TestMeasure:
    """By which families are chosen, where that is not accuracy."""

    def test_it_has_a_column(self):
        rows = [make_row(val_macro_f1=0.625), make_row("ensemble", val_macro_f1=None)]
        page = render(rows=rows, guessing=make_guessing(measure="macro F1", column="val_macro_f1"))
        assert "<th>Macro F1 on validation</th>" in page
        assert "<td>62.5\N{NO-BREAK SPACE}%</td>" in page

    def test_accuracy_is_there_anyway(self):
        assert "on validation</th>" not in render()


class TestWarnings:
    """What a family alone can't promise is said where it would be believed."""

    def test_who_is_no_better_than_guessing_is_not_said_to_be_significantly_worse(self):
        assert "family is significantly worse" not in read(rows=[make_row(), make_row("other")], all_worse=False)

    def test_equals_are_not_named_where_none_is_recommended(self):
        text = read(rows=[make_row(), make_row("other")], ties=["other"], guessing=make_guessing(is_better=False))
        assert "too few to tell" not in text

    def test_sets_of_too_few_validation_images(self):
        assert "100 validation images are too few: from 101 on" in read(least_for_sets=101)
        assert "are too few: from" not in read(least_for_sets=100)

    def test_nothing_is_refused(self):
        assert "Nothing is refused: there are too few validation images" in read(
            refusals=make_refusals() | {"refuses": False}
        )
        assert "Nothing is refused" not in read()

    def test_suspects_of_a_guesser(self):
        suspects = {"issues": [make_issue()], "num_issues": {"test": 1, "val": 0}}
        words = "As optimized is no better than guessing, so are they."
        assert words in read(**suspects, guessing=make_guessing(is_better=False))
        assert words not in read(**suspects)

    def test_a_matrix_without_numbers_says_where_they_are(self):
        assert "by colour (numbers: metrics/<family>/confusion.csv)" in read(has_counts=False)


class TestGivenUp:
    SAID = {"epoch": 9, "epochs": 50, "highest": 0.534, "bar": 0.9}  # noqa: RUF012 - no test changes it

    def test_it_is_said_when_and_why(self):
        text = read(given_up={"optimized": self.SAID})
        assert "optimized after 9 of 50 epochs, with at most 53.4 % in validation, below 90.0 %." in text
        assert "balanced, given up" in text

    def test_where_none_was_nothing_is(self):
        assert "given up" not in read().lower()


class TestSure:
    def test_metrics_have_intervals(self):
        metrics = make_metrics(test_macro_f1_low=0.5, test_macro_f1_high=0.75)
        assert "From 200 test images: accuracy 25.0 % to 25.0 %, macro F1 0.500 to 0.750" in read(metrics=metrics)

    @pytest.mark.parametrize(("p", "words"), [(0.25, "0.250"), (0.0009, "< 0.001"), (0.0, "< 0.001"), (1.0, "1.000")])
    def test_families_are_compared_with_p_values(self, p, words):
        text = read(versus={"other": make_versus(p_corrected=p)})
        assert f"other1,20034+5.0 points{words}1,500not significant" in text

    def test_a_single_family_is_compared_with_none(self):
        assert "Only it is right" not in read()
        assert "Only it is right" in read(versus={"other": make_versus()})

    @pytest.mark.parametrize("name", METRICS)
    def test_an_undefined_metric_is_not_defined(self, name):
        assert read().count("not defined") == 0
        assert read(metrics=make_metrics(**{f"test_{name}": None})).count("not defined") == 1

    @pytest.mark.parametrize("chart", ["roc", "pr"])
    def test_an_undefined_chart_is_left_out(self, chart):
        page = render(**{chart: None})
        assert page.count("<figure>") == render().count("<figure>") - 1
        assert page.count("None") == render().count("None")

    def test_it_says_which_bins_have_few_images(self):
        assert "hollow ones fewer than 12. Below" in read(few_images=12)

    def test_sets_of_classes_are_shown_with_what_was_asked_for(self):
        text = read()
        assert "optimized93.8 %87.5 % – 96.9 %1.5062.5 %" in text
        assert "Asked for 90.0 % (evaluate.coverage)" in text

    def test_a_class_without_test_images_has_no_sets(self):
        row = make_content()["classes"][0] | {"set_coverage": None, "set_size": None, "support": 0}
        assert "0.9000.800––0" in read(classes=[row])

    def test_calibration_is_shown_before_and_after(self):
        assert "optimized1.7512.5 %12.5 %0.1250.1251.5001.250" in read()


class TestSamples:
    def test_each_has_both_classes_and_both_probabilities(self):
        text = read(samples=[make_card(), make_card(predicted="cat", hit=True, true_confidence=0.75)])
        assert "2 test images with the class that optimized predicts" in text
        assert "✗ dog 75.0 %true: cat 12.5 %cat/1.png" in text
        assert "✓ cat 75.0 %true: cat 75.0 %cat/1.png" in text

    def test_it_says_how_they_are_drawn(self):
        assert "drawn by hash with train.seed 7;" in read(samples=[make_card()], sample_seed=7)


class TestPhases:
    def test_frozen_and_fine_tuned_are_side_by_side(self):
        text = read(phases=[make_phase()])
        assert (
            "net50.0 %40.0 % – 60.0 %2,048 trained62.5 %40.0 % – 60.0 %10,466,449 trained1,20034+12.5 points0.250"
            in text
        )
        assert "Frozen or fine-tuned?" not in read()

    @pytest.mark.parametrize(
        ("versus", "word"),
        [({"distinguishable": True}, "better"), ({"distinguishable": True, "difference": -0.1}, "worse"), ({}, "not")],
    )
    def test_the_fine_tuned_is_better_worse_or_not_significantly_different(self, versus, word):
        page = render(phases=[make_phase(versus=make_versus(**versus))])
        row = next(row for row in re.findall(r"(?s)<tr.*?</tr>", page) if "<td>net</td>" in row)
        assert re.findall(r'<td class="text nowrap">(\w+)', row) == [word]

    def test_another_measure_has_no_points(self):
        guessing = make_guessing(measure="log loss", is_share=False)
        assert "34+0.1250.250" in read(phases=[make_phase()], guessing=guessing)


class TestWrong:
    def test_mistakes_are_counted(self):
        assert "optimized misclassifies 1,200 of 200 test images." in read(num_mistakes=1200)

    def test_a_card_has_the_predicted_and_the_true_class(self):
        text = read(confident_mistakes=[make_card()])
        assert "✗ dog 75.0 %true: cat 12.5 %cat/1.png" in text
        assert "✓ cat 75.0 %cat/1.png" in read(unsure_hits=[make_card(predicted="cat", hit=True)])

    def test_confused_pairs_are_in_a_table_and_have_pictures(self):
        text = read(pairs=[make_pair()])
        assert "catdog1,20025.0 %" in text
        assert "cat mistaken for dog" in text

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("pairs", "Confused most often"),
            ("confident_mistakes", "Its most confident mistakes"),
            ("unsure_hits", "Its least confident correct predictions"),
            ("heat_maps", "looked in its mistakes"),
        ],
    )
    def test_a_gallery_without_pictures_has_no_heading(self, name, words):
        assert words not in read()
        assert words in Reader(render_page("report.html", **make_full_content())).text
        assert words not in Reader(render_page("report.html", **make_full_content(**{name: []}))).text

    def test_heat_maps_say_whose_they_are(self):
        assert "Where other looked in its mistakes" in read(heat_maps=[make_card(heat=PIXEL, family="other")])

    def test_an_undefined_area_under_a_curve_is_not_defined(self):
        row = make_content()["classes"][0] | {"roc_auc": None, "pr_auc": None}
        assert "cat0.5000.2500.750not definednot defined87.5 %1.251,200" in read(classes=[row])
        assert "cat0.5000.2500.7500.9000.80087.5 %1.251,200" in read()

    def test_what_another_family_confuses_is_folded_away_with_its_pictures(self):
        page = render(other_pairs={"other": [make_strip(), make_strip(label="emu")]})
        text = Reader(page).text
        assert "other: cat mistaken for dog, 1,200 images, and 1 more" in text
        assert "emu mistaken for dog: 1,200 (25.0 %)75.0 %, 50.0 %" in text
        assert page.count(f'src="{PIXEL}" width="64"') == 2
        assert "other: cat mistaken for dog, 1 image " in read(other_pairs={"other": [make_strip(images=1)]})

    def test_costs_of_errors_are_shown_where_they_differ(self):
        row = {"family": "optimized", "probable": 1.5, "least": 0.75, "changed": 1200, "p": 0.0001}
        text = read(error_costs={"rows": [row], "confusion": SVG})
        assert "optimized1.5000.7501,200< 0.001" in text
        assert "Where errors cost differently" not in read()

    def test_groups_are_folded_away_where_none_is_weak(self):
        text = read()
        assert "None of 7 groups is classified significantly worse than the classes in it explain." in text
        assert "lightdarkest: 25 or less1,20050.0 %25.0 % – 75.0 %87.5 %0.002" in text
        assert "The first 1 are shown." in text

    def test_a_weak_group_is_named_with_its_pictures(self):
        weak = make_slices()["rows"][0] | {"cards": [make_card()]}
        text = read(slices=make_slices(weak=[weak]))
        assert (
            "Light, darkest: 25 or less: optimized classifies 50.0 % of 1,200 test images correctly; the classes in it "
            "would explain 87.5 % (p = 0.002)." in text.replace("\N{NO-BREAK SPACE}", " ")
        )
        assert "None of 7 groups" not in text

    def test_test_images_that_are_alike_have_no_groups(self):
        assert "do not differ in light" in read(slices=make_slices(rows=[], tested=0))

    def test_a_family_without_mistakes_says_so(self):
        assert "other: no mistakes" in read(other_pairs={"other": []})
        assert "What the other families confuse" not in read()

    def test_every_family_has_its_report_of_train_and_test(self):
        reports = {name: {"train": make_report(support=7), "test": make_report()} for name in ("one", "other")}
        text = read(class_reports=reports)
        assert "other: 87.5 % on train, 87.5 % on test" in text
        assert text.count("cat0.5000.2500.75070.5000.2500.7501,200") == 2
        assert "accuracy0.8752,4000.8752,400" in text
        assert "macro average0.5000.2500.7502,4000.5000.2500.7502,400" in text
        assert "weighted average0.5000.2500.750" in text

    def test_each_family_has_its_matrix(self):
        page = render(confusions={"one": SVG, "other": SVG})
        assert page.count(SVG) == render().count(SVG) + 1
        assert "<h3>other</h3>" in page


class TestData:
    def test_suspected_labels_are_shown_with_what_they_may_be(self):
        text = read(issues=[make_issue()], num_issues={"test": 1200, "val": 3})
        assert "Labels to check: 1,200 in test, 3 in validation" in text
        assert "labelled cat (12.5 %)probably dog (75.0 %)test: cat/1.png" in text
        assert "No label looks wrong." not in text
        assert "No label looks wrong." in read()

    def test_those_of_training_images_are_counted_where_they_were_sought(self):
        text = read(issues=[make_issue()], num_issues={"test": 1, "val": 0, "train": 2}, fold_family="mobilenet")
        assert "1 in test, 0 in validation, 2 in training" in text
        assert "on the features of mobilenet that was fitted to the other folds" in text
        assert "Training images were not searched" not in text

    def test_else_it_says_how(self):
        text = read()
        assert "Training images were not searched" in text
        assert "label_issues.csv" in text

    def test_how_to_put_labels_right_is_said(self):
        text = read(issues=[make_issue()], num_issues={"test": 1, "val": 0, "train": 0})
        assert (
            "fill in its column correct_label (- takes the picture out), save a copy outside metrics/, and set" in text
        )

    def test_pictures_that_are_only_similar_are_no_leaks(self):
        near = [make_near(similarity=0.862, split="val", train_label="cat")]
        text = read(near=near, num_similar={"test": 0, "val": 1})
        assert "Near copies of training images: 0 in test, 0 in validation" in text
        assert "0 of test and 1 of validation are similar (0.95 to 0.9)" in text
        assert "similar (0.862)cat in val, cat in train" in text
        assert "seen the answer" not in text

    def test_near_duplicates_are_shown_with_both_labels(self):
        text = read(near=[make_near()], num_near={"test": 1200, "val": 3}, num_near_other_label=1)
        assert (
            "From 0.9 on it is probably the same picture, and models have seen the answer in training; 1 of 1,203 has"
            in text
        )
        assert "similar" not in text.partition("Near copies of training")[2].partition("How many images")[0]
        assert "Near copies of training images: 1,200 in test, 3 in validation" in text
        assert "near copy (0.975)cat in test, dog in traincat/1.png · dog/2.png" in text
        assert "None, by their outlines at 16 × 16 pixels (similarity 0.95 or more)." in read()

    @pytest.mark.parametrize(
        ("changes", "shown"),
        [
            ({}, False),
            ({"num_issues": {"test": 0, "val": 5}, "num_near": {"test": 0, "val": 5}}, False),
            ({"num_issues": {"test": 1, "val": 0}}, True),
            ({"num_near": {"test": 1, "val": 0}}, True),
        ],
    )
    def test_accuracy_without_suspect_test_images_is_shown_if_there_are_any(self, changes, shown):
        without = [{"family": "one", "all": 0.5, "without_near": 0.25, "without_issues": 0.75, "without_both": None}]
        assert ("one50.0 %25.0 %75.0 %–" in read(without=without, **changes)) == shown

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({}, "do not differ significantly (chi-squared 1.50, 4 degrees of freedom, p = 0.750)."),
            ({"p": 0.04}, "The class distributions of the three splits differ significantly"),
            ({"p": 0.0}, "p < 0.001)"),
            ({"least_expected": 4.9}, "p = 0.750; approximate, as some class has few images)"),
        ],
        ids=["alike", "different", "very different", "few images"],
    )
    def test_the_splits_are_compared(self, changes, words):
        assert words in read(homogeneity=make_content()["homogeneity"] | changes)

    def test_sizes_are_listed_and_drawn_where_they_differ(self):
        text = read()
        assert "32–128 px wide (median 64) and 16–96 px high (median 48); width over height 0.5–2.0." in text
        assert "Models see 64 × 64 px RGB (stretch)." in text
        same = {
            "widths": [64] * 3,
            "heights": [48] * 3,
            "ratios": [1.33] * 3,
            "modes": {"RGB": 1200, "L": 3},
            "chart": None,
        }
        assert "All originals are 64 × 48 px. Colour as stored: RGB 1,200, L 3." in read(shapes=same)

    def test_the_range_of_pixel_values_is_shown_before_and_after(self):
        text = read(pixels=[make_pixels(), make_pixels(stage="after", least=10)])
        assert "train, before resizing1,20032500.12 %50.00 %" in text
        assert "train, after resizing1,20010250" in text
        assert "Pixel values" not in read()

    def test_black_bars_are_mentioned_where_there_are_any(self):
        assert "The bars of a letterbox are black." in read(pixels=[make_pixels()], resize="letterbox")
        assert "letterbox are black" not in read(pixels=[make_pixels()])

    def test_classes_without_samples_are_counted(self):
        assert "The first 2 of 100 classes." in read(class_names=[str(number) for number in range(100)])
        assert "The first 2" not in read()

    def test_families_with_the_same_views_share_a_picture(self):
        assert "one, other: left," in read(augmented=[{"families": ["one", "other"], "picture": PIXEL, "columns": 5}])
        assert "How training sees them" not in read()

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


class TestCost:
    def test_without_a_run_the_page_says_where_the_timings_are(self):
        assert "They are in metrics/timings.csv, and appear here if run.js is beside this file." in read()

    def test_exported_files_are_shown_with_what_the_gate_found(self):
        other = make_export(
            format="litert_int8", status="refused", reason="0.05 lower", largest_difference=0, distance_difference=None
        )
        text = read(exports={"optimized": [make_export(), other]})
        assert "optimized: 1 file kept, 1 refused" in text
        assert "onnx1.25100.0 %2e-063e-0587.5 %75.0 – 93.8 %87.5 %kept" in text
        assert "litert_int81.25100.0 %0–87.5 %" in text
        assert "refused: 0.05 lower" in text
        assert "In production" not in read()

    def test_those_of_the_chosen_family_are_open_the_others_closed(self):
        page = render(exports={"optimized": [make_export()], "overfit": [make_export()]})
        opened = re.findall(r'<details class="exports"( open)?><summary>(\w+): 1 file kept<', page)
        assert opened == [(" open", "optimized"), ("", "overfit")]

    def test_what_averaging_mirror_images_costs_is_said_of_those_that_do(self):
        text = read(mirrored=["optimized", "mobilenet"])
        assert "optimized, mobilenet: each answer is the mean over an image and its mirror image (evaluate.tta)" in text
        assert "evaluate.tta" not in read()

    def test_trainable_parameters_are_told_from_all(self):
        assert "10,466,449493,829 trained" in read(rows=[make_row(trainable_parameters=493_829)])
        assert "10,466,449balanced" in read()

    def test_they_are_beside_the_time_of_training(self):
        [script] = Reader(render()).scripts
        assert '"Training, s", "Trainable parameters"' in script
        assert "[cost.train_seconds, 1], [cost.trainable_parameters, 0]" in script

    def test_layers_are_listed(self):
        assert "denseDense2,0006,000" in read()
        convolution = make_architecture(layer="conv", kind="Conv2D", rows=8, columns=6, channels=3, parameters=0)
        assert "convConv2D8 × 6 × 30" in read(architectures={"one": convolution})

    def test_the_script_knows_which_run_belongs_to_the_page(self):
        [script] = Reader(render(key="feed")).scripts
        assert 'run.key !== "feed"' in script


class TestOutside:
    def test_accuracy_is_of_those_with_a_label(self):
        text = read(outside=make_outside())
        assert "1,200 pictures that are in no split. Of the 1,000 in folders" in text
        assert "optimized classifies 87.5 % correctly (95 % interval 75.0 % to 90.0 %). 7 are far" in text

    def test_without_labels_there_is_no_accuracy(self):
        outside = make_outside(num_labelled=0, accuracy=None, interval=None)
        assert "None is in a folder named after a class, so there is no accuracy." in read(outside=outside)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({}, "✗ dog 75.0 %true: catfar: 1.25cat/1.png"),
            ({"predicted": "cat", "hit": True}, "✓ cat 75.0 %far: 1.25cat/1.png"),
            ({"label": ""}, "dog 75.0 %far: 1.25cat/1.png"),
            ({"far": False, "distance": 0.5}, "✗ dog 75.0 %true: catdistance 0.50cat/1.png"),
        ],
        ids=["miss", "hit", "no label", "near"],
    )
    def test_a_card_has_the_predicted_class_and_the_distance(self, changes, words):
        text = read(outside=make_outside(cards=[make_outside()["cards"][0] | changes]))
        assert words in text
        assert ("✓" in text or "✗" in text) == (changes.get("label") != "")

    @pytest.mark.parametrize(("count", "strip", "rest"), [(3, 3, 0), (10, 10, 0), (24, 10, 14)])
    def test_the_first_ten_are_a_strip(self, count, strip, rest):
        [card] = make_outside()["cards"]
        page = render(outside=make_outside(cards=[card] * count))
        lists = re.findall(r'(?s)<ul class="cards( film)?".*?</ul>', page.partition('<h2 id="outside">')[2])
        assert lists == [" film"] + [""] * bool(rest)
        film = page.partition('<ul class="cards film"')[2].partition("</ul>")[0]
        assert film.count("<li>") == strip
        assert f"--wide: {strip};" in film

    def test_pictures_not_shown_and_files_not_usable_are_counted(self):
        outside = make_outside(bad=[{"name": "b.png", "reason": "truncated"}], num_bad=1200)
        text = read(outside=outside)
        assert "The first 1; all are in data/evaluations/optimized/outside.csv." in text
        assert "1,200 can't be used" in text
        assert "b.pngtruncated" in text


def test_families_that_were_trained_under_different_settings_are_marked():
    assert "†" not in read()
    text = read(ignored={"optimized": ["train.epochs", "train.dropout"]})
    assert "optimized †" in text
    assert "Trained under different settings" in text
    assert "optimized has no train.epochs, train.dropout." in text


class TestAgain:
    def test_what_is_set_for_all_families_is_listed(self):
        assert "in place of published valuesnothing" in read()
        text = read(overrides={"train.epochs": "5", "train.optimizer": "adam"})
        assert "in place of published valuestrain.epochs = 5, train.optimizer = adam" in text

    def test_facts_are_listed(self):
        assert "Training seed42" in read()


class TestCharts:
    @pytest.mark.parametrize(("width", "frame"), [("497.5", "chart"), ("629.1", "chart wide"), ("880", "chart long")])
    def test_its_frame_knows_whether_a_phone_would_make_it_unreadable(self, width, frame):
        svg = f'<svg class="marks" width="{width}" height="900" viewBox="0 0 1000 900"><text>chart</text></svg>'
        assert frame_chart(svg) == f'<div class="{frame}">{svg}</div>'
        assert frame_chart(svg, in_parts=True) == f'<div class="{frame.replace("wide", "long")}">{svg}</div>'

    def test_nothing_else_is_trusted(self):
        assert "<svg" not in render(confusions={"<svg>": SVG}).replace(SVG, "").replace("&lt;svg", "")


class TestColumns:
    """How many pictures are in a row."""

    @pytest.mark.parametrize("most", [8, 6, 4, 3, 2])
    @pytest.mark.parametrize("count", range(1, 30))
    def test_no_picture_has_a_row_to_itself_where_that_can_be(self, count, most):
        columns = balance_columns(count, most)
        assert 1 <= columns <= most
        could_be = any(count % fewer != 1 for fewer in range(2, most + 1))
        assert count == 1 or columns == 1 or count % columns != 1 or not could_be or most < 4

    @pytest.mark.parametrize(
        ("count", "most", "columns"),
        [
            (0, 8, 1),
            (1, 8, 1),
            (8, 8, 8),
            (9, 8, 5),
            (10, 8, 5),
            (12, 6, 6),
            (4, 3, 2),
            (7, 6, 4),
            (5, 4, 3),
            (5, 1, 1),
        ],
    )
    def test_rows_are_about_as_long_as_each_other(self, count, most, columns):
        assert balance_columns(count, most) == columns
