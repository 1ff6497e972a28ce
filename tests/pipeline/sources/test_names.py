import unicodedata

import pytest

from pipeline.sources.names import (
    are_parts,
    find_class_in_file_name,
    find_copied_name,
    find_split_word,
    fold_name,
    is_litter,
    make_class_names,
    make_unique_names,
    means_images,
    means_masks,
    means_thumbnails,
)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Training_data", "train"),
        ("asl_alphabet_train", "train"),
        ("TrainSet", "train"),
        ("train2017", "train"),
        ("trainval", "train"),
        ("train_val", "train"),
        ("imgs-val", "val"),
        ("valid", "val"),
        ("devset", "val"),
        ("testimages", "test"),
        ("TESTset", "test"),
        ("TRAINimages", "train"),
        ("hold_out", "test"),
        ("Held-Out images", "test"),
        ("household_out", ""),
        ("Test 1", "test"),
        ("evaluation", "eval"),
        ("single_prediction", "pred"),
        ("seg_pred", "pred"),
        ("Unlabeled", "unlabelled"),
        *(
            (name, "")
            for name in ("cat", "valley", "contest", "invalid", "trainer", "predator", "latest", "device", "")
        ),
        ("train_test_split", ""),
    ],
)
def test_split_words(name, word):
    assert find_split_word(name) == word


@pytest.mark.parametrize("name", [".git", ".DS_Store", "Thumbs.db", "@eaDir", "$RECYCLE.BIN", "__MACOSX", "Icon\r"])
def test_litter(name):
    assert is_litter(name)


@pytest.mark.parametrize("name", ["cat", "..", ".", "thumbs", "eaDir", "#1", "@home", "_cat"])
def test_no_litter(name):
    assert not is_litter(name)


def test_kinds_of_pictures():
    assert means_images("images")
    assert means_images("JPEG Images")
    assert means_images("JPEGImages")
    assert means_masks("SegmentationClass")
    assert not means_images("cat images")
    assert means_masks("lung masks")
    assert means_masks("Ground_Truth")
    assert not means_masks("unmasked")
    assert means_thumbnails("thumbs")
    assert not means_thumbnails("thumb war")


@pytest.mark.parametrize(
    "names", [["fold_0", "fold_1"], ["part a", "part b"], ["images_001", "images_002"], ["Batch1", "Batch22"]]
)
def test_parts(names):
    assert are_parts(names)


@pytest.mark.parametrize(
    "names", [["fold_0"], ["grade_1", "grade_2"], ["1", "2"], ["part_1", "fold_1"], ["cat", "dog"], []]
)
def test_no_parts(names):
    assert not are_parts(names)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("a/cat.12.jpg", "cat"),
        ("cat (3).png", "cat"),
        ("american_bulldog_12.jpg", "american_bulldog"),
        ("cat-007.jpeg", "cat"),
        ("12.jpg", ""),
        ("cat.jpg", "cat"),
    ],
)
def test_classes_in_names_of_files(path, label):
    assert find_class_in_file_name(path) == label


def test_folded_names():
    assert fold_name("Ka\u0308fer ") == fold_name("K\u00c4FER")
    assert fold_name("hot_dog.") == fold_name("Hot - dog\u200b")
    assert fold_name("cat") != fold_name("cats")
    assert len({fold_name(name) for name in ("1", "-1", "_", "...", "a+", "a")}) == 6


def test_names_that_tables_can_hold_are_one_to_one():
    paths = ["a/k\udce4.jpg", "a/k\udcf6.jpg", "a/k\N{REPLACEMENT CHARACTER}.jpg", "a/x\r.jpg", "a/x\n.jpg", "b"]
    names = make_unique_names(paths)
    assert len(set(names.values())) == len(paths)
    assert all(name.encode("utf-8") and "\r" not in name for name in names.values())
    assert names["b"] == "b"
    assert names["a/k\N{REPLACEMENT CHARACTER}.jpg"] == "a/k\N{REPLACEMENT CHARACTER}.jpg"
    assert all(name.endswith(".jpg") for path, name in names.items() if path != "b")
    assert make_unique_names(reversed(paths)) == names


def test_classes_whose_bytes_differ_stay_apart_and_those_of_two_forms_do_not():
    names = make_class_names(["k\udce4fer", "k\udcf6fer", "K\u00e4fer", unicodedata.normalize("NFD", "K\u00e4fer")])
    assert len(set(names.values())) == 3


@pytest.mark.parametrize(
    ("name", "original"),
    [
        *(
            (name, "cat")
            for name in ("cat (1)", "cat - Copy", "cat - Copy (2)", "Copy of cat", "cat_aug", "augmented_cat")
        ),
        *((name, "") for name in ("cat", "photocopy", "copy", "1", "aug")),
    ],
)
def test_names_of_copies(name, original):
    assert find_copied_name(name) == original
