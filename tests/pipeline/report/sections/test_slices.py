import numpy as np
import pandas as pd

from pipeline.report.sections.slices import describe_slices
from tests.pipeline.report.pictures import CAT, DOG, album, get_numbers, make_result


def describe(mistakes: int, *, dark: int = 50, images: int = 200):
    """The first images are mistakes, the first `dark` ones dark."""
    result = make_result(*[(CAT, DOG if i < mistakes else CAT, 0.5 + i / 1000) for i in range(images)])
    names = result.predictions["name"]
    light = np.where(np.arange(images) < dark, 10.0, 100.0 + np.arange(images))
    facts = {"contrast": 50.0, "width": 64, "height": 64, "mode": "RGB"}
    images = pd.DataFrame({"name": names, "brightness": light} | facts)
    return describe_slices(result.predictions, images, result.look_alikes, album)


def test_a_weak_group_has_its_most_confident_mistakes():
    said = describe(mistakes=30)
    (weak,) = said["weak"]
    assert (weak["property"], weak["images"], weak["accuracy"]) == ("light", 50, 0.4)
    assert get_numbers(weak["cards"]) == [29, 28, 27, 26, 25, 24]
    assert {card["hit"] for card in weak["cards"]} == {False}


def test_a_family_without_mistakes_has_none_and_all_groups_are_listed():
    said = describe(mistakes=0)
    assert said["weak"] == []
    assert said["tested"] == len(said["rows"]) == 2
    assert {row["p_corrected"] for row in said["rows"]} == {1.0}


def test_pictures_that_are_alike_have_no_groups():
    assert describe(mistakes=5, dark=200) == {"rows": [], "weak": [], "tested": 0, "least": 10}
