import pytest

from pipeline.data.manifest import MANIFEST_COLUMNS, save_table
from pipeline.data.raw import load_index, save_raw
from pipeline.report.cards import make_card, make_cards, open_album
from pipeline.runtime.paths import MANIFEST
from pipeline.sources.raw_image import RawImage
from tests.pipeline.report.pictures import CAT, DOG, album, decode, make_result


class TestCard:
    def test_it_has_the_picture_and_both_classes_with_their_probabilities(self):
        row = make_result((CAT, DOG, 0.7)).predictions.iloc[0]
        card = make_card(row, album)
        assert abs(decode(card.pop("picture")).astype(int) - album("test/cat/0.png")).max() <= 2
        assert card.pop("true_confidence") == pytest.approx(0.15)
        assert card == {
            "name": "test/cat/0.png",
            "label": "cat",
            "predicted": "dog",
            "confidence": 0.7,
            "hit": False,
        }

    def test_a_picture_is_found_by_its_name_in_data_raw(self, tmp_path, monkeypatch, make_image_bytes):
        monkeypatch.chdir(tmp_path)
        data = {f"NA/{i}.png": make_image_bytes((50 * i,) * 3, size=(40, 20)) for i in range(4)}
        save_raw((RawImage(name, "NA", "", one) for name, one in data.items()), {"source": "folder"})
        table = load_index().assign(image_id="0" * 64, width=40, height=20, mode="RGB")
        save_table(table[MANIFEST_COLUMNS], MANIFEST)
        pictures = open_album("letterbox")
        for shade in (3, 0, 2):
            picture = pictures(f"NA/{shade}.png")
            assert picture.shape == (120, 120, 3)
            assert picture[60, 60].tolist() == [50 * shade] * 3
        assert pictures("NA/3.png")[0, 0].tolist() == [0, 0, 0]

    def test_there_is_one_per_row_and_a_correct_prediction_is_a_hit(self):
        cards = make_cards(make_result((CAT, DOG, 0.7), (DOG, DOG, 0.6)).predictions, album)
        assert [(card["predicted"], card["hit"]) for card in cards] == [("dog", False), ("dog", True)]
        assert cards[1]["true_confidence"] == cards[1]["confidence"] == 0.6
