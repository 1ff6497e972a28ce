import pytest

from pipeline.sources.versions import find_versions

DIGEST = "5f3a09c4e1b27d68" * 2
UUID = "0b2c8f6e-1d3a-4c5b-9e7f-123456789abc"


@pytest.mark.parametrize(
    "name", ["1_flipped", "1_aug", "1_aug_3", "1-rot90", "1.hflip", "1 Blurred", "1_augmented2", "1_noise_0", "1_zoom"]
)
def test_beside_the_picture_from_which_it_was_made(name):
    assert find_versions(["cat/1.jpg", f"cat/{name}.jpg", "dog/1.jpg"]) == [f"cat/{name}.jpg"]
    assert find_versions([f"cat/{name}.png", "cat/1.jpg"]) == [f"cat/{name}.png"]


@pytest.mark.parametrize("name", ["2_flipped", "flipped", "1flipped", "1_front", "1_2", "noise_1"])
def test_other_names_say_nothing(name):
    assert find_versions(["cat/1.jpg", f"cat/{name}.jpg"]) == []


def test_the_picture_in_another_folder_says_nothing():
    assert find_versions(["cat/1.jpg", "dog/1_flipped.jpg"]) == []


def test_of_roboflow_each_original_has_one_that_counts():
    names = [f"cat/{stem}_jpg.rf.{number}{DIGEST[1:]}.jpg" for stem in ("a", "b") for number in (1, 2, 3)]
    assert find_versions(names) == [*names[1:3], *names[4:]]
    assert find_versions(names[::3]) == []


def test_of_augmentor_all_are():
    name = f"cat/cat_original_1.jpg_{UUID}.jpg"
    assert find_versions(["cat/1.jpg", name]) == [name]


@pytest.mark.parametrize("folder", ["cat/augmented", "aug/cat", "cat_aug", "Data_Augmentation/cat"])
def test_all_in_a_folder_of_them_are(folder):
    assert find_versions(["cat/1.jpg", f"{folder}/7.jpg"]) == [f"{folder}/7.jpg"]


def test_the_same_name_with_another_extension_is_a_version():
    assert find_versions(["cat/1.jpg", "cat/1.tif", "cat/2.jpg", "dog/1.tif"]) == ["cat/1.tif"]
