import sys

import numpy as np
import pytest
from PIL import Image

from pipeline.export.contract import load_export_contract
from pipeline.export.parity_table import save_parity
from pipeline.runtime.paths import EXPORTED, MODELS, TRY_PAGE
from stages.demo import main
from tests.pipeline.export.browser import needs_browser, open_browser
from tests.pipeline.serving.exported import CONTRACT, NAMES, SIZE, compute_expected, save_exported
from tests.stages.test_package import make_parity

FAMILY = "underfit"
FOLDER = EXPORTED / FAMILY


@pytest.fixture
def exported(project) -> None:
    """A family as ONNX, which names the brightest colour."""
    pytest.importorskip("onnx")
    project.set(families=[FAMILY])
    save_exported(FOLDER)
    save_parity([make_parity("onnx", "model.onnx")], FOLDER)


def test_a_family_that_is_not_exported_is_one_line_with_what_to_run(project, capsys):
    project.set(families=[FAMILY])
    assert main([FAMILY]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {FOLDER} has no ONNX file: expected an exported family; run `dvc exp run -S "
        f"'export.formats=[onnx_float16]' -S 'export.families=[{FAMILY}]'`"
    )
    assert not TRY_PAGE.exists()


@pytest.mark.usefixtures("exported")
def test_a_format_that_the_gate_refused_is_not_taken(capsys):
    save_parity([make_parity("onnx_float16", "model_float16.onnx").refuse("it is too bad")], FOLDER)
    assert main([FAMILY]) == 1
    assert "has no ONNX file" in capsys.readouterr().err


def test_without_a_name_there_must_be_a_recommended_family(project, capsys):
    project.set(families=[FAMILY])
    assert main([]) == 1
    assert "expected the family that the report recommends; name one" in capsys.readouterr().err


@pytest.mark.usefixtures("exported")
def test_files_of_another_model_are_refused(capsys):
    MODELS.mkdir(exist_ok=True)
    (MODELS / f"{FAMILY}.keras").write_bytes(b"trained anew")
    assert main([FAMILY]) == 1
    assert (
        f"was made of another model than models/{FAMILY}.keras: run `dvc repro export@{FAMILY}`"
        in capsys.readouterr().err
    )


@pytest.mark.usefixtures("exported")
def test_a_wrong_runtime_leaves_no_page(tmp_path, capsys):
    file = tmp_path / "runtime.tgz"
    file.write_bytes(b"something else")
    assert main([FAMILY, "--runtime", str(file)]) == 1
    assert "expected sha256" in capsys.readouterr().err
    assert not TRY_PAGE.exists()


@pytest.mark.usefixtures("exported")
def test_it_says_what_it_is_without_tensorflow(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "metrics/try.html" in capsys.readouterr().out
    assert "onnxruntime" not in vars(sys.modules["stages.demo"])


@needs_browser
@pytest.mark.network
@pytest.mark.usefixtures("exported")
class TestPage:
    """The page itself, opened from disk."""

    @pytest.fixture
    def browser(self, tmp_path):
        assert main([FAMILY]) == 0
        with open_browser(tmp_path / "profile") as browser:
            browser.open(TRY_PAGE)
            browser.run("return loaded.then(() => true)")
            yield browser

    def classify(self, browser, files):
        browser.run(
            "window.answers = []; const before = answer; answer = async (...given) => { const said = await "
            "before(...given); answers.push(said); return said; }"
        )
        browser.choose("#files", files)
        browser.run("return queue.then(() => true)")
        return browser.run("return answers")

    def test_it_answers_as_the_model_does(self, browser, tmp_path):
        """Answers go through the whole page, from the file that is chosen."""
        colours = {"red": (250, 40, 30), "green": (10, 200, 90), "blue": (120, 121, 122)}
        files = []
        for name, colour in colours.items():
            files.append(tmp_path / f"{name}.png")
            Image.new("RGB", (SIZE, SIZE), colour).save(files[-1])
        answers = self.classify(browser, files)
        limit = load_export_contract(FOLDER).familiarity.scores[-1]
        for answer, colour in zip(answers, colours.values(), strict=True):
            [expected] = compute_expected(np.full((1, SIZE, SIZE, 3), colour, np.uint8))
            given = {entry["label"]: entry["probability"] for entry in answer["predictions"]}
            np.testing.assert_allclose([given[name] for name in NAMES], expected, atol=1e-5)
            assert answer["predictions"][0]["label"] == NAMES[int(expected.argmax())]
            assert answer["none_of_these"] == (1 - expected.max() > limit)
            assert set(answer["set"]) == {name for name, p in zip(NAMES, expected, strict=True) if p >= 1 - 0.95}
        assert [answer["none_of_these"] for answer in answers] == [False, False, True]
        assert CONTRACT["temperature"] == 1.0
        assert browser.read_console() == []

    def test_what_is_no_picture_gets_its_line_and_the_rest_its_answers(self, browser, tmp_path):
        Image.new("RGB", (SIZE, SIZE), (250, 40, 30)).save(tmp_path / "red.png")
        (tmp_path / "notes.png").write_text("no picture")
        assert len(self.classify(browser, [tmp_path / "notes.png", tmp_path / "red.png"])) == 1
        cards = browser.run("return [...document.querySelectorAll('#cards li')].map(card => card.innerText)")
        assert len(cards) == 2
        assert "notes.png\nnot a picture that this page reads" in cards[1]
        assert "100" not in cards[1]
        assert cards[0].startswith("red.png\nred")

    def test_it_asked_nothing_of_any_network(self, browser):
        names = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [name for name in names if not name.startswith(("blob:", "data:"))] == []

    @pytest.mark.parametrize("width", [360, 1200])
    def test_it_is_as_wide_as_the_screen(self, browser, width):
        browser.resize(width, 800)
        assert browser.run("return document.documentElement.scrollWidth") <= width
