"""Trees that can be read in two ways, or hold more than the data set, as in public reports of tools that do the same."""

import hashlib
from itertools import pairwise

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.class_folders import read_tree
from pipeline.sources.reading import AS_FOUND, Reading

Tree = dict[str, int]  # pictures to make in a folder


def fill(tree: Tree, *, first: int = 0) -> dict[str, bytes]:
    """Files with different bytes of different sizes: `tree` has how many in each folder."""
    files: dict[str, bytes] = {}
    for folder, count in tree.items():
        for number in range(count):
            seed = hashlib.sha256(f"{first} {folder} {number}".encode()).digest()
            files[f"{folder}/{number:03d}.jpg"] = seed * (20 + len(files)) + bytes(len(files))
    return files


def copy(files: dict[str, bytes], source: str, target: str) -> dict[str, bytes]:
    """What lies below `source`, again below `target`."""
    return {f"{target}{path.removeprefix(source)}": data for path, data in files.items() if path.startswith(source)}


def read(files: dict[str, bytes] | Tree, *, digest: bool = True, folders: tuple[str, ...] = (), **settings) -> Reading:
    contents = {path: data for path, data in files.items() if isinstance(data, bytes)}
    contents |= fill({path: count for path, count in files.items() if isinstance(count, int)})
    return read_tree(
        {path: len(data) for path, data in contents.items()},
        "folder 'x'",
        AS_FOUND.model_copy(update=settings),
        folders=folders,
        identify=contents.__getitem__ if digest else None,
        read_file=contents.__getitem__,
    )


def question(files: dict[str, bytes] | Tree, **settings) -> str:
    """The line that stops the run."""
    with pytest.raises(PipelineError) as caught:
        read(files, **settings)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("folder 'x'")
    return line


def warning(reading: Reading, *words: str) -> str:
    """The one warning that has these words."""
    found = [line for line in reading.warnings if all(word in line for word in words)]
    assert len(found) == 1, reading.warnings
    return found[0]


PAIR = {"cat": 14, "dog": 12}
BOTH = {"cat": 28, "dog": 24}


def inside(*folders: str, classes: Tree = PAIR) -> Tree:
    return {f"{folder}/{label}": count for folder in folders for label, count in classes.items()}


class TestSplitsByOtherNames:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("Training_data", "Testing_data"),
            ("asl_alphabet_train", "asl_alphabet_test"),
            ("TrainFolder", "TestFolder"),
            ("imgs-train", "imgs-test"),
            ("train2017", "test2017"),
            ("traindata", "testdata"),
            ("01 Training", "02 Testing"),
            ("my.train.v2", "my.test.v2"),
            ("data_train", "evaluation"),
            ("TRAIN IMAGES", "HOLDOUT"),
        ],
    )
    def test_a_split_word_in_a_longer_name_is_a_split_and_said(self, train, test):
        reading = read(inside(train, test))
        assert reading.classes == BOTH
        assert reading.splits == {"train": 26, "test": 26}
        warning(reading, train, test, "data.layout=flat")

    def test_evaluation_beside_test_is_val_and_beside_val_is_test(self):
        assert read(inside("training", "evaluation", "test")).splits == {"train": 26, "val": 26, "test": 26}
        assert read(inside("training", "validation", "evaluation")).splits == {"train": 26, "val": 26, "test": 26}

    def test_imgs_val_is_val(self):
        assert read(inside("imgs-train", "imgs-val")).splits == {"train": 26, "val": 26}

    def test_doubled_folders_and_a_test_folder_without_labels(self):
        reading = read({"asl_train/asl_train/A": 14, "asl_train/asl_train/B": 14, "asl_test/asl_test": 10})
        assert reading.classes == {"A": 14, "B": 14}
        assert reading.splits == {"train": 28}
        warning(reading, "asl_test", "10 pictures", "unlabelled")

    def test_single_prediction_beside_splits_is_left_out(self):
        reading = read(inside("training_set", "test_set") | {"single_prediction": 2})
        assert reading.classes == BOTH
        warning(reading, "single_prediction", "unlabelled")

    def test_folders_that_only_say_images_are_passed_through(self):
        reading = read(inside("Final_Training/Images", "Final_Test/Images", classes={"00000": 3, "00001": 3}))
        assert reading.classes == {"00000": 6, "00001": 6}
        assert reading.splits == {"train": 6, "test": 6}

    def test_flat_makes_classes_of_them(self):
        reading = read(inside("Training_data", "Testing_data"), layout="flat")
        assert reading.classes == {"Testing_data": 26, "Training_data": 26}

    def test_trains_are_classes(self):
        reading = read({"bullet_train": 10, "steam_train": 10})
        assert reading.classes == {"bullet_train": 10, "steam_train": 10}
        warning(reading, "as classes")

    def test_without_a_common_class_it_is_asked(self):
        line = question({"bullet_train/red": 2, "bullet_train/blue": 2, "drug_test/yes": 2, "drug_test/no": 2})
        assert "data.layout=flat" in line
        assert "data.layout=split" in line

    @pytest.mark.parametrize("name", ["test", "val", "test1", "evaluation", "single_prediction", "Testing"])
    def test_one_such_folder_beside_classes_is_asked(self, name):
        line = question(PAIR | {name: 5})
        assert "in two ways" in line
        assert "data.layout=flat" in line
        assert f"data.splits={{{name}: ignore}}" in line
        assert read(PAIR | {name: 5}, layout="flat").classes == PAIR | {name: 5}
        reading = read(PAIR | {name: 5}, splits={name: "ignore"})
        assert reading.classes == PAIR
        assert reading.left_out == (("data.splits says ignore", 5, f"{name}/000.jpg"),)

    def test_a_split_of_classes_beside_a_folder_of_pictures_is_asked(self):
        tree = inside("train") | {"extra": 4}
        assert "data.splits={extra: ignore}" in question(tree)
        reading = read(tree, splits={"extra": "ignore"})
        assert (reading.classes, reading.splits) == (PAIR, {"train": 26})

    def test_unlabelled_and_predicted_pictures_beside_classes(self):
        line = question(PAIR | {"unlabelled": 3, "prediction": 2})
        assert "data.splits={prediction: ignore}" in line
        assert read(PAIR | {"train": 2, "unlabelled": 3}).classes == PAIR | {"train": 2}

    def test_splits_of_pictures_beside_their_table(self):
        files = fill({"train": 6, "test": 3}) | {"train.csv": b"x"}
        assert "data.labels=train.csv" in question(files)
        assert "data.layout=flat" in question(files)

    def test_in_splits_the_other_answer_keeps_the_splits(self):
        files = fill({f"{split}/{label}": 9 for split in ("train", "test") for label in ("cat", "dog")})
        files |= copy(files, "train/cat/", "train/all/c") | copy(files, "train/dog/", "train/all/d")
        line = question(files)
        assert "'all' is also in another class" in line
        assert "data.layout=split" in line
        assert read(files, layout="split").splits == {"train": 36, "test": 18}

    def test_a_second_test_folder_without_classes_is_left_out(self):
        reading = read(inside("Training", "Test") | {"test-multiple_fruits": 7})
        assert reading.splits == {"train": 26, "test": 26}
        warning(reading, "test-multiple_fruits", "7 pictures", "unlabelled")

    def test_valid_and_invalid_are_classes(self):
        assert read({"valid": 4, "invalid": 4}).classes == {"invalid": 4, "valid": 4}

    def test_unlabelled_pictures_beside_classes_are_left_out(self):
        reading = read(PAIR | {"unlabeled": 9})
        assert reading.classes == PAIR
        warning(reading, "unlabeled", "9 pictures")

    def test_splits_inside_classes(self):
        reading = read({f"{label}/{split}": 4 for label in ("cat", "dog") for split in ("train", "test")})
        assert reading.classes == {"cat": 8, "dog": 8}
        assert reading.splits == {"train": 8, "test": 8}
        warning(reading, "data.layout=flat")


class TestParts:
    @pytest.mark.parametrize(
        "names",
        [
            ("fold_0", "fold_1"),
            ("part1", "part2"),
            ("Part A", "Part B"),
            ("batch-1", "batch-2", "batch-3"),
            ("images_001", "images_002"),
        ],
    )
    @pytest.mark.parametrize("wrapper", ["", "C-NMC_training_data/"])
    def test_the_same_classes_in_each_part_are_one_set(self, names, wrapper):
        reading = read(inside(*(f"{wrapper}{name}" for name in names)))
        assert reading.classes == {label: count * len(names) for label, count in PAIR.items()}
        assert reading.splits == {}
        warning(reading, names[0], "parts of one set")

    def test_folds_in_a_training_folder_beside_a_test_folder(self):
        reading = read(inside("train/fold_0", "train/fold_1", "test"))
        assert reading.classes == {"cat": 42, "dog": 36}
        assert reading.splits == {"train": 52, "test": 26}

    @pytest.mark.parametrize("names", [("color", "grayscale"), ("original", "augmented"), ("siteA", "berlin", "rome")])
    def test_the_same_folders_in_others_are_asked(self, names):
        line = question(inside(*names))
        assert "in two ways" in line
        assert "data.layout=flat" in line
        assert "data.classes=parent" in line
        assert f"data.root={names[0]}" in line or "data.root=" in line

    def test_so_are_numbered_ones_that_are_names_of_folders_in_them_too(self):
        """Patients 0, 1 and 2, each with the classes 0 and 1."""
        line = question({f"{patient}/{label}": 6 for patient in range(3) for label in range(2)})
        assert "data.classes=parent" in line
        assert "once more" not in line

    def test_each_answer_is_taken(self):
        tree = inside("color", "grayscale")
        assert read(tree, layout="flat").classes == {"color": 26, "grayscale": 26}
        assert read(tree, classes="parent").classes == BOTH
        assert read(tree, root="color").classes == PAIR
        assert read(tree, splits={"grayscale": "ignore"}).classes == PAIR
        assert read(tree, splits={"color": "train", "grayscale": "test"}).splits == {"train": 26, "test": 26}

    def test_some_classes_missing_in_a_part(self):
        tree = inside("a", "b") | {"a/bird": 3}
        assert "in two ways" in question(tree)

    def test_years_in_each_class_are_no_classes(self):
        assert read({f"{label}/{year}": 3 for label in PAIR for year in (2019, 2020)}).classes == {"cat": 6, "dog": 6}

    def test_folds_of_splits_are_asked(self):
        assert "data.root=fold_0" in question(inside("fold_0/train", "fold_0/test", "fold_1/train", "fold_1/test"))

    @pytest.mark.parametrize(
        "names", [("HAM10000_images_part_1", "HAM10000_images_part_2"), ("images_001", "images_002")]
    )
    @pytest.mark.parametrize("table", [None, "metadata.csv"])
    def test_parts_with_pictures_have_their_labels_elsewhere(self, names, table):
        files = fill(dict.fromkeys(names, 10)) | ({table: b"x"} if table else {})
        line = question(files)
        assert "data.layout=flat" in line
        assert "data.labels" in line
        assert table is None or "data.labels=metadata.csv" in line

    def test_one_folder_of_pictures_beside_a_table(self):
        assert "data.labels=labels.csv" in question(fill({"images": 10}) | {"labels.csv": b"x"})

    def test_a_table_beside_class_folders_is_said_and_not_read(self):
        reading = read(fill(PAIR) | {"about.csv": b"x"})
        assert reading.classes == PAIR
        assert any("about.csv" in note for note in reading.notes)

    @pytest.mark.parametrize("names", [("grade_1", "grade_2"), ("00000", "00001"), ("class 1", "class 2")])
    def test_numbered_classes_are_classes(self, names):
        assert read(dict.fromkeys(names, 3)).classes == dict.fromkeys(names, 3)

    def test_names_of_files_that_begin_with_classes_are_pointed_at(self):
        files = [f"train/{label}.{i}.jpg" for label in ("cat", "dog") for i in range(5)]
        with pytest.raises(PipelineError, match=r"no class folders.*cat, dog.*data\.classes=file"):
            read_tree(files, "here")
        reading = read_tree(files, "here", AS_FOUND.model_copy(update={"classes": "file"}))
        assert reading.classes == {"cat": 5, "dog": 5}
        assert reading.splits == {"train": 10}


class TestCopies:
    def test_the_whole_set_once_more_inside_itself(self):
        files = fill(inside("chest_xray/train", "chest_xray/test"))
        reading = read(files | copy(files, "chest_xray", "chest_xray/chest_xray"))
        assert reading.classes == BOTH
        assert reading.splits == {"train": 26, "test": 26}
        assert reading.wrappers == ("chest_xray",)
        assert [(why, count) for why, count, _ in reading.left_out] == [("copy of the set", 52)]
        warning(reading, "chest_xray/chest_xray", "copy")

    @pytest.mark.parametrize("target", ["cells/cells", "cells/all pictures", "cells/x/y"])
    def test_one_more_class_that_is_the_set(self, target):
        files = fill(inside("cells"))
        assert read(files | copy(files, "cells", target)).classes == PAIR

    def test_a_neighbour_that_is_the_set_by_another_case(self):
        files = fill(inside("PlantVillage"))
        reading = read(files | copy(files, "PlantVillage", "plantvillage/PlantVillage"))
        assert reading.classes == PAIR
        assert reading.left_out[0][2].startswith("plantvillage/PlantVillage/")

    def test_a_copy_with_fewer_pictures_is_one_too(self):
        files = fill(inside("cells"))
        part = dict(list(copy(files, "cells", "cells/cells").items())[::2])
        assert read(files | part).classes == PAIR

    def test_a_copy_with_other_pictures_is_asked(self):
        files = fill(inside("cells")) | fill(inside("cells/cells"), first=1)
        line = question(files)
        assert "data.splits={cells/cells: ignore}" in line
        assert "data.root=cells/cells" in line
        assert read(files, root="cells/cells").classes == PAIR
        assert read(files, splits={"cells/cells": "ignore"}).classes == PAIR

    def test_equal_sizes_alone_are_no_copy(self):
        files = {path: bytes([number]) * 1000 for number, path in enumerate(fill(inside("fold_0", "fold_1")))}
        assert read(files).classes == BOTH
        assert read(files, digest=False).classes == BOTH

    def test_a_class_of_all_the_others_pictures_is_asked(self):
        files = fill(PAIR)
        everything = {f"all/{i}.jpg": data for i, data in enumerate(files.values())}
        line = question(files | everything)
        assert "26 pictures of class 'all'" in line
        assert "data.splits={all: ignore}" in line
        assert read(files | everything, splits={"all": "ignore"}).classes == PAIR
        assert read(files | everything, layout="flat").classes == PAIR | {"all": 26}

    def test_without_digests_equal_names_and_sizes_count(self):
        files = fill(PAIR)
        everything = {f"all/{path.replace('/', '/')}": data for path, data in files.items()}
        assert read(files | everything, digest=False).classes == PAIR

    def test_some_copies_are_no_class_of_copies(self):
        files = fill(PAIR | {"bird": 4})
        some = dict(list(copy(files, "cat", "bird/more").items())[:7])
        assert read(files | some).classes == PAIR | {"bird": 11}

    def test_train_and_test_of_the_same_pictures_are_said(self):
        files = fill(inside("train"))
        warning(read(files | copy(files, "train", "test")), "26 pictures", "have a copy")


class TestSplitsInsideSplits:
    """A validation folder that was made inside train is no class."""

    TREE = inside("train", "train/val", "test")

    @pytest.mark.parametrize(
        "tree", [TREE, inside("train", "train/val"), inside("my/train", "my/train/val", "my/test")]
    )
    def test_it_is_asked(self, tree):
        line = question(tree)
        assert "train/val holds folders of the same names as those beside it (cat, dog)" in line
        assert "train/val: val}" in line
        assert "train/val: ignore}" in line

    def test_as_a_split(self):
        reading = read(self.TREE, splits={"train/val": "val"})
        assert reading.classes == {"cat": 42, "dog": 36}
        assert reading.splits == dict.fromkeys(("train", "val", "test"), 26)
        assert not reading.warnings

    def test_left_out(self):
        reading = read(self.TREE, splits={"train/val": "ignore"})
        assert (reading.classes, reading.splits) == (BOTH, {"train": 26, "test": 26})

    def test_as_a_class(self):
        reading = read(self.TREE, layout="split")
        assert reading.classes == BOTH | {"val": 26}
        warning(reading, "could also be read another way", "train/val")

    def test_one_class_in_a_folder_named_as_a_split_is_enough(self):
        assert "data.splits={train/test: test}" in question(inside("train", "val") | {"train/test/cat": 3})

    def test_the_same_classes_in_a_folder_of_another_name(self):
        line = question(inside("train", "train/new"))
        assert "data.splits={train/new: ignore}" in line
        assert "a split" not in line

    def test_a_class_that_holds_others_or_one_of_its_name_is_a_class(self):
        animals = {"train/dog/beagle": 4, "train/dog/pug": 4, "train/cat/cat": 5, "test/dog": 4, "test/cat": 4}
        assert read(animals).classes == {"dog": 12, "cat": 9}


class TestFilesOfMasks:
    """As in Kaggle's Breast Ultrasound Images: benign (1).png and benign (1)_mask.png in one folder."""

    @pytest.mark.parametrize(
        "name", ["1_mask", "1_mask_1", "1_mask2", "1-Mask", "1 segmentation", "1_seg", "1_gt", "1.thumb", "1_thumbnail"]
    )
    def test_beside_their_picture_they_are_left_out(self, name):
        files = {f"{label}/{stem}.png": b"x" for label in PAIR for stem in ("1", "2", name)}
        reading = read(files)
        assert reading.classes == {"cat": 2, "dog": 2}
        assert reading.left_out == (("masks or thumbnails", 2, f"cat/{name}.png"),)
        warning(reading, "2 pictures", f"'cat/{name}.png'", "data.layout=flat")

    def test_their_picture_may_have_another_extension(self):
        assert read({f"{label}/{name}": b"x" for label in PAIR for name in ("1.jpg", "1_mask.png")}).classes == {
            "cat": 1,
            "dog": 1,
        }

    @pytest.mark.parametrize("name", ["2_mask", "mask", "1_face", "1mask", "masked_1"])
    def test_other_names_are_pictures(self, name):
        files = {f"{label}/{stem}.png": b"x" for label in PAIR for stem in ("1", name)}
        assert read(files).classes == {"cat": 2, "dog": 2}

    def test_a_picture_in_another_folder_makes_no_mask(self):
        assert read({"cat/1.png": b"x", "dog/1_mask.png": b"x"}).classes == {"cat": 1, "dog": 1}

    def test_those_who_say_what_folders_are_get_all(self):
        files = {f"train/{label}/{stem}.png": b"x" for label in PAIR for stem in ("1", "1_mask")}
        assert read(files).classes == {"cat": 1, "dog": 1}
        assert read(files, layout="split").classes == {"cat": 2, "dog": 2}


class TestOtherFolders:
    def test_strays_beside_a_wrapper_are_in_no_class(self):
        reading = read(fill(inside("animals")) | {"dataset-cover.jpg": b"cover", "animals/sample.png": b"sample"})
        assert reading.classes == PAIR
        assert {file.path: file.reason for file in reading if file.reason} == {
            "animals/sample.png": "lies in no class folder",
            "dataset-cover.jpg": "lies in no class folder",
        }

    def test_empty_class_folders_are_named(self):
        reading = read(PAIR, folders=("cat", "dog", "bird", "cat/deep", ".git", "eel/deep"))
        assert reading.classes == PAIR
        warning(reading, "bird, eel", "without any picture")

    def test_an_empty_class_folder_in_a_split_is_named(self):
        reading = read({"train/cat": 3, "train/dog": 3, "test/cat": 2}, folders=("test/dog",))
        warning(reading, "test/dog")
        warning(reading, "split test has no picture of class dog")

    @pytest.mark.parametrize("masks", ["masks", "Mask", "segmentations", "ground_truth", "thumbnails"])
    def test_masks_and_thumbnails_in_each_class_are_left_out_and_said(self, masks):
        reading = read({"COVID/images": 10, f"COVID/{masks}": 10, "Normal/images": 9, f"Normal/{masks}": 9})
        assert reading.classes == {"COVID": 10, "Normal": 9}
        warning(reading, masks, "19 pictures", "2 classes")

    def test_flat_reads_masks_too(self):
        reading = read({"a/images": 2, "a/masks": 2, "b/images": 2, "b/masks": 2}, layout="flat")
        assert reading.classes == {"a": 4, "b": 4}

    def test_masks_beside_images_at_the_top(self):
        reading = read(inside("images", "masks"))
        assert reading.classes == PAIR
        warning(reading, "masks", "26 pictures")

    def test_people_with_and_without_masks_are_classes(self):
        assert read({"with_mask": 5, "without_mask": 5}).classes == {"with_mask": 5, "without_mask": 5}

    def test_pictures_of_carnival_masks_are_a_class(self):
        assert read({"masks": 5, "hats": 5}).classes == {"hats": 5, "masks": 5}

    @pytest.mark.parametrize(
        "litter", ["@eaDir", "#recycle", "$RECYCLE.BIN", ".thumbnails", "System Volume Information", "@Recycle"]
    )
    def test_litter_of_servers_is_left_out(self, litter):
        reading = read(PAIR | {f"cat/{litter}": 5, litter: 2, f"{litter}/x": 2})
        assert reading.classes == PAIR
        assert sum(count for _, count, _ in reading.left_out) == 9

    def test_one_folder_that_is_the_data_set_beside_others_is_pointed_at(self):
        warning(read(inside("animals") | {"docs": 2}), "data.root=animals")

    def test_links_to_folders_are_named(self):
        reading = read_tree(list(fill(PAIR)), "here", links=["bird", "cat/more"])
        assert reading.left_out == (("link to a folder, which is not entered", 2, "bird"),)
        with pytest.raises(PipelineError, match="links to folders, such as 'cat', are not entered"):
            read_tree([], "here", links=["cat", "dog"])


class TestSpellings:
    def test_composed_and_decomposed_are_one_class(self):
        reading = read({"Ka\u0308fer": 3, "K\u00e4fer": 4, "dog": 2})
        assert reading.classes == {"K\u00e4fer": 7, "dog": 2}
        warning(reading, "K\u00e4fer", "two Unicode forms")

    def test_two_cases_are_asked(self):
        line = question({"Cat": 3, "cat": 4, "dog": 2})
        assert "'Cat', 'cat'" in line
        assert "prune.merge_classes={Cat: [Cat, cat]}" in line
        assert read({"Cat": 3, "cat": 4, "dog": 2}, layout="flat").classes == {"Cat": 3, "cat": 4, "dog": 2}

    def test_two_cases_in_two_splits_are_one_class(self):
        reading = read({"train/Cat": 3, "train/dog": 3, "test/cat": 2, "test/dog": 2})
        assert reading.classes == {"Cat": 5, "dog": 5}
        warning(reading, "'Cat', 'cat'")


class TestParameters:
    def test_a_root_deep_inside_may_have_any_slashes(self):
        tree = inside("a/b", classes=PAIR) | {"c": 3}
        for root in ("a/b", "/a/b/", "a\\b", "./a/b"):
            assert read(tree, root=root).classes == PAIR
        assert ("outside data.root", 3, "c/000.jpg") in read(tree, root="a/b").left_out

    def test_a_root_that_does_not_exist_names_those_that_do(self):
        assert "data.root 'b'" in question(PAIR, root="b")
        assert "cat, dog" in question(PAIR, root="b")

    @pytest.mark.parametrize("names", [("a", "b", "c"), ("2019", "2020", "2021")])
    def test_splits_by_any_name(self, names):
        kinds = ("train", "val", "test")
        reading = read(inside(*names), splits=dict(zip(names, kinds, strict=True)))
        assert reading.splits == dict.fromkeys(kinds, 26)
        assert reading.classes == {"cat": 42, "dog": 36}

    def test_splits_may_be_patterns_and_paths(self):
        tree = inside("x/site1", "x/site2", "x/other")
        assert read(tree, splits={"site*": "train", "x/other": "test"}).splits == {"train": 52, "test": 26}

    def test_a_named_split_overrides_what_its_name_says(self):
        assert read(inside("train", "test"), splits={"test": "val"}).splits == {"train": 26, "val": 26}

    def test_a_folder_of_which_nothing_is_said_is_asked_for(self):
        assert "which split c is" in question(inside("a", "b", "c"), splits={"a": "train", "b": "test"})

    def test_a_split_that_does_not_exist_is_refused(self):
        assert "no folder 'nothing'" in question_of(lambda: read(PAIR, splits={"nothing": "ignore"}))

    def test_all_ignored_is_refused(self):
        assert "ignores" in question(PAIR, splits={"*": "ignore"})

    def test_the_root_itself_ignored_is_refused(self):
        assert "no file that is not left out" in question(inside("x"), root="x", splits={"x": "ignore"})

    def test_the_parent_is_the_class_however_deep(self):
        reading = read({"a/b/cat": 2, "c/cat": 3, "d/e/f/dog": 4}, classes="parent")
        assert reading.classes == {"cat": 5, "dog": 4}

    def test_the_parent_in_splits(self):
        reading = read({"train/x/cat": 2, "train/y/dog": 3, "test/x/cat": 4}, classes="parent")
        assert reading.classes == {"cat": 6, "dog": 3}
        assert reading.splits == {"train": 5, "test": 4}

    def test_names_without_any_class_are_refused(self):
        line = question({"images": 9, "a.csv": b"x"}, classes="file")
        assert "no picture whose name begins with a class" in line
        assert "received 'images/000.jpg'" in line

    def test_a_name_without_a_class_is_said(self):
        reading = read_tree(["cat1.jpg", "cat2.jpg", "003.jpg"], "x", AS_FOUND.model_copy(update={"classes": "file"}))
        assert [file.reason for file in reading] == ["its name does not begin with a class", "", ""]


def question_of(call) -> str:
    with pytest.raises(PipelineError) as caught:
        call()
    return str(caught.value)


def test_every_file_is_used_refused_or_left_out():
    files = fill(inside("train", "test") | {"pred": 3, "train/cat/.hidden": 2}) | {"README.md": b"", "cover.jpg": b"x"}
    reading = read(files)
    assert len(reading.files) + sum(count for _, count, _ in reading.left_out) == len(files)


def test_files_are_sorted_and_names_differ():
    reading = read(inside("train", "test"))
    assert all(a.path < b.path for a, b in pairwise(reading.files))
    assert len({file.name for file in reading}) == len(reading.files)


class TestHeldBackLayouts:
    """Layouts of Kaggle and of published data sets, and what a person would say of them."""

    @pytest.mark.parametrize("name", ["hold_out", "held-out", "Hold Out set"])
    def test_held_out_pictures_are_test(self, name):
        assert read(inside("train", name)).splits == {"train": 26, "test": 26}

    def test_an_unknown_folder_that_holds_classes_may_be_a_split_too(self):
        line = question(inside("train", "cv"))
        assert "data.splits={cv: ignore}" in line
        assert "data.splits={cv: test}" in line
        assert read(inside("train", "cv"), splits={"cv": "test"}).splits == {"train": 26, "test": 26}

    def test_a_train_folder_without_that_name_is_pointed_at(self):
        tree = {**inside("rps/rps", "rps-test-set/rps-test-set"), "rps-validation": 6}
        assert "data.splits={rps: train}" in question(tree)
        assert read(tree, splits={"rps": "train"}).splits == {"train": 26, "test": 26}

    @pytest.mark.parametrize("wrapper", ["", "VOCdevkit/VOC2012/"])
    def test_pictures_and_segmentations_of_voc_are_no_classes(self, wrapper):
        tree = {f"{wrapper}{name}": 5 for name in ("JPEGImages", "SegmentationClass", "SegmentationObject")}
        assert "labels stand elsewhere" in question(tree)

    @pytest.mark.parametrize("inner", ["", "/cat"])
    def test_masks_in_splits_are_no_class(self, inner):
        tree = {f"{split}/{kind}{inner}": 5 for split in ("train", "test") for kind in ("images", "masks")}
        if inner:
            reading = read(tree)
            assert reading.classes == {"cat": 10}
            warning(reading, "train/masks", "left out")
        else:
            assert "has no class folders" in question(tree)

    @pytest.mark.parametrize("wrapper", ["", "ISIC_2019_Training_Input/"])
    def test_one_split_of_pictures_beside_its_table(self, wrapper):
        tree = {f"ISIC_2019_Training_Input/{wrapper}": 9, "ISIC_2019_Training_GroundTruth.csv": b"image,MEL"}
        assert "set data.labels=ISIC_2019_Training_GroundTruth.csv" in question(tree)

    @pytest.mark.parametrize(
        "names", [("train_part_1", "train_part_2"), ("train_1", "train_2"), ("train_a", "train_ab")]
    )
    def test_parts_of_a_split_beside_a_table_are_no_classes(self, names):
        tree = {**dict.fromkeys(names, 9), "train.csv": b"id,label"}
        assert "data.labels=train.csv" in question(tree)
        assert read(tree, layout="flat").classes == dict.fromkeys(names, 9)

    def test_the_table_that_is_named_is_the_one_with_labels(self):
        tables = dict.fromkeys(("sample_submission.csv", "test.csv", "train.csv"), b"id,label")
        assert "data.labels=train.csv" in question({"images": 9, **tables})
        assert "data.labels=train.csv" in question({"train_images": 9, "test_images": 9, **tables})

    def test_dogs_and_cats_in_file_names_beside_a_form_for_answers(self):
        names = [f"train/{label}.{number}.jpg" for label in ("cat", "dog") for number in range(9)]
        files = {**dict.fromkeys(names, b"x"), "test1/1.jpg": b"x", "sampleSubmission.csv": b"id,label"}
        line = question(files)
        assert "names begin with cat, dog: data.classes=file" in line
        assert "sampleSubmission" not in line
        assert read(files, classes="file").splits == {"train": 18}

    def test_names_that_say_a_split_are_no_classes(self):
        names = [f"{split}_{number}.jpg" for split in ("Train", "Test") for number in range(9)]
        assert "data.classes=file" not in question(dict.fromkeys(names, b"x"))

    def test_the_same_splits_in_each_top_folder(self):
        tree = inside("raw/train", "raw/valid", "resized (1)/train", "resized (1)/valid")
        line = question(tree)
        assert (
            "data.splits={raw/train: train, raw/valid: val, resized ?1?/train: train, resized ?1?/valid: val}" in line
        )
        given = {"raw/train": "train", "raw/valid": "val", "resized ?1?/train": "train", "resized ?1?/valid": "val"}
        assert read(tree, splits=given).splits == {"train": 52, "val": 52}
        assert "data.root=raw" in line
        splits = {"*/train": "train", "*/valid": "val"}
        assert read(tree, splits=splits).classes == {"cat": 56, "dog": 48}
        assert read(tree, splits=splits).splits == {"train": 52, "val": 52}
        assert read(tree, root="resized (1)").splits == {"train": 26, "val": 26}

    def test_the_same_splits_below_wrappers(self):
        tree = inside("a/a/train", "a/a/test", "b/b/train", "b/b/test")
        assert "data.splits={a/a/test: test, a/a/train: train, b/b/test: test, b/b/train: train}" in question(tree)
        assert read(tree, splits={"*/*/test": "test", "*/*/train": "train"}).splits == {"train": 52, "test": 52}

    def test_splits_in_classes_around_folders_of_images(self):
        tree = {f"{label}/{split}/images": 9 for label in PAIR for split in ("train", "test")}
        assert read(tree).classes == {"cat": 18, "dog": 18}
        assert read(tree).splits == {"train": 18, "test": 18}
        assert read(tree, splits={"*/train": "train", "*/test": "test"}).splits == {"train": 18, "test": 18}

    def test_the_same_split_twice_counts_once(self):
        files = fill({**inside("train"), "test": 3})
        reading = read({**files, **copy(files, "train", "Train")})
        assert reading.classes == PAIR
        warning(reading, "is a copy of")

    def test_folders_in_all_classes_are_said(self):
        tree = {"colon/aca": 9, "colon/benign": 8, "lung/scc": 9, "lung/healthy": 7}
        reading = read(tree)
        assert reading.classes == {"colon": 17, "lung": 16}
        warning(reading, "aca", "data.classes=parent")
        assert set(read(tree, classes="parent").classes) == {"aca", "benign", "scc", "healthy"}

    def test_class_folders_below_many_strays_are_pointed_at(self):
        files = {**fill(inside("data")), **{f"{number}.jpg": b"x" for number in range(40)}}
        assert "data.root=data reads the folders in it (cat, dog)" in question(files)
        assert read(files, root="data").classes == PAIR


class TestLosses:
    """Nothing is lost with no more than a note."""

    def test_a_class_without_pictures_is_named_in_archives_too(self):
        files = {**fill(PAIR), **{f"eel/{number}.dcm": b"x" for number in range(20)}}
        warning(read(files), "eel", "20 other files")

    def test_many_pictures_outside_classes(self):
        files = {**fill(PAIR), **{f"{number}.jpg": b"x" for number in range(9)}}
        warning(read(files), "9 file(s)", "lies in no class folder")

    def test_many_files_of_other_formats_in_classes(self):
        files = {**fill(PAIR), **{f"cat/{number}.nef": b"x" for number in range(9)}}
        warning(read(files), "cat/0.nef", ".nef")
        assert read({**fill(PAIR), **{f"cat/{number:03d}.txt": b"x" for number in range(14)}}).warnings == ()

    def test_archives_inside(self):
        warning(read({**fill(PAIR), "eel.zip": b"x"}), "eel.zip", "unpack")
        assert "no image, but 2 archive(s), such as 'cat.zip'" in question({"dog.zip": b"x", "cat.zip": b"x"})

    def test_links_to_class_folders(self):
        reading = read_tree(list(fill(PAIR)), "folder 'x'", links=["eel"])
        assert any("eel" in line and "not entered" in line for line in reading.warnings)

    def test_one_class_only(self):
        warning(read({"animals": 9}), "only one class", "data.classes=file")


class TestCopiesByName:
    def test_the_copy_is_the_one_with_the_name_of_a_copy(self):
        files = fill(PAIR)
        files |= copy(files, "cat", "cat - Copy")
        assert "data.splits={cat - Copy: ignore}" in question(files)
        assert read(files, splits={"cat - Copy": "ignore"}).classes == PAIR

    @pytest.mark.parametrize("name", ["cat (1)", "Copy of cat", "cat_aug"])
    def test_a_class_with_the_name_of_a_copy_is_said(self, name):
        warning(read({**PAIR, name: 9}), "has the name of a copy of 'cat'")

    def test_augmented_copies_beside_their_originals_leak(self):
        tree = {f"{label}/{kind}": 9 for label in PAIR for kind in ("augmented", "pictures")}
        warning(read(tree), "split.group=near")


class TestLookAlikes:
    @pytest.mark.parametrize("other", ["cat ", "cat.", "cat\u200b", "\uff43at", "CAT"])
    def test_are_asked(self, other):
        assert "look alike" in question({"cat": 9, other: 9, "dog": 9})
        assert len(read({"cat": 9, other: 9, "dog": 9}, layout="flat").classes) == 3

    def test_separators_between_words(self):
        assert "look alike" in question({"hot_dog": 9, "hot-dog": 9})
        assert read({"train/hot_dog": 9, "train/x": 9, "test/hot dog": 9, "test/x": 9}).classes == {
            "hot_dog": 18,
            "x": 18,
        }

    def test_the_suggestion_keeps_blanks(self):
        assert 'prune.merge_classes={cat: [cat, "cat "]}' in question({"cat": 9, "cat ": 9})


class TestAdviceIsTaken:
    """What a line advises settles the question, also where wrappers are around."""

    def test_folders_to_ignore_in_wrappers(self):
        tree = {**{f"my/set/{folder}": count for folder, count in PAIR.items()}, "my/set/test": 4}
        assert "data.splits={my/set/test: ignore}" in question(tree)
        for name in ("my/set/test", "test", "te*"):
            assert read(tree, splits={name: "ignore"}).classes == PAIR

    def test_a_wrapper_that_is_left_over_is_skipped(self):
        tree = {**inside("my/set/data"), "my/set/test": 4}
        assert read(tree, splits={"test": "ignore"}).classes == PAIR

    def test_names_with_brackets(self):
        assert read({**PAIR, "old [1]": 9}, splits={"old [1]": "ignore"}).classes == PAIR
        labels = {"labels": "l.csv", "splits": {"old [1]": "ignore"}}
        files = {"new/1.jpg": b"x", "old [1]/1.jpg": b"x", "l.csv": b"path,label\n1.jpg,cat\n"}
        assert read(files, **labels).classes == {"cat": 1}

    def test_the_nearest_folder_is_the_parent(self):
        assert read({"dog": 4, "dog/beagle": 5}, classes="parent").classes == {"dog": 4, "beagle": 5}

    def test_a_parent_that_only_says_images_is_passed_by(self):
        tree = {f"train/n{number}/images": 9 for number in (1, 2)}
        assert read(tree, classes="parent").classes == {"n1": 9, "n2": 9}
        assert read({"train/images": 9, "test/images": 8}, classes="parent").classes == {"images": 17}


class TestFoldersOfPatients:
    """Pictures of one patient or one video in a folder of their own: drawn picture by picture, test shows what training saw."""

    TREE: Tree = {f"{label}/case_{label}{v}": 4 for label in ("walk", "run") for v in range(3)}  # noqa: RUF012 - no test changes it

    def test_they_are_said_with_what_keeps_them_together(self):
        (line,) = [line for line in read(self.TREE).warnings if "split.group" in line]
        assert line.startswith("folder 'x': 24 of 24 pictures lie in 6 folders beside their class, such as 'case_run0'")
        assert "split.group=folder" in line

    def test_not_where_the_source_has_all_splits(self):
        tree = {f"{split}/{folder}": count for split in ("train", "val", "test") for folder, count in self.TREE.items()}
        assert not [line for line in read(tree).warnings if "split.group" in line]
        without_val = {folder: count for folder, count in tree.items() if not folder.startswith("val")}
        assert [line for line in read(without_val).warnings if "split.group" in line]


class TestOneNameInSeveralFolders:
    """church/indoor and bistro/indoor of SUN397 are two classes; sick of patient 1 and of patient 2 are one."""

    SUN = {"abbey": 6, "bar": 6, "tower": 6, "bistro/indoor": 6, "bistro/outdoor": 6, "church/indoor": 6}  # noqa: RUF012
    PATIENTS = {"patient 1/sick": 6, "patient 1/well": 6, "patient 2/sick": 6, "patient 3/well": 6}  # noqa: RUF012

    def test_parents_warn_where_most_names_are_of_one_folder(self):
        assert "1 class(es) are of several folders, unlike most, such as indoor of bistro/indoor, church/indoor" in str(
            read(self.SUN, classes="parent").warnings
        )

    def test_parents_of_which_each_holds_the_classes_are_read_without_a_word(self):
        reading = read(self.PATIENTS, classes="parent")
        assert set(reading.classes) == {"sick", "well"}
        assert "of several folders" not in str(reading.warnings)

    def test_the_advice_says_what_it_would_join(self):
        tree = {
            "bistro/indoor": 6,
            "bistro/patio": 6,
            "church/indoor": 6,
            "church/nave": 6,
            "bar/stage": 6,
            "bar/hall": 6,
        }
        assert "and one of all that are called indoor: rename these first" in str(read(tree).warnings)


class TestFilesThatMayBePictures:
    def test_many_kinds_are_one_warning(self):
        """img.jpg?sig=12, as downloads keep their addresses, have an extension each."""
        reading = read(fill(PAIR) | {f"cat/x{number}.jpg?sig={number}": b"x" * (90 + number) for number in range(40)})
        [line] = [line for line in reading.warnings if "not used" in line]
        assert "40 file(s), such as" in line
        assert "of 40 kinds; if these are pictures, rename them" in line

    def test_numbers_are_no_archives(self):
        reading = read(fill(PAIR) | {f"cat/2021.05.12.{number:03d}": b"x" * (90 + number) for number in range(5)})
        assert "archive" not in str(reading.warnings)

    def test_the_first_part_of_one_is(self):
        assert "1 archive(s) inside, such as 'more.zip.001'" in str(read(fill(PAIR) | {"more.zip.001": b"PK"}).warnings)


def test_declared_splits_are_no_patients():
    tree = {f"set/{split}/{label}": 8 for split in ("trainA", "trainB", "testA") for label in ("cat", "dog")}
    splits = {"set/trainA": "train", "set/trainB": "train", "set/testA": "test"}
    assert "one patient" not in str(read(tree, splits=splits, classes="parent").warnings)


def test_a_table_beside_pictures_names_no_class():
    files = {f"images/Train_{number}.jpg": bytes([number]) * (90 + number) for number in range(8)}
    files |= {f"images/Other_{number}.jpg": bytes([number]) * (190 + number) for number in range(8)}
    reading = read(files | {"train.csv": b"a,b", "test.csv": b"a"}, classes="file")
    assert set(reading.classes) == {"Train", "Other"}
    assert "look alike" not in str(reading.warnings)


def test_a_table_of_a_split_without_class_folders_is_noted():
    """GTSRB: Train/14, Test, Test.csv."""
    files = fill({"Train/14": 6, "Train/2": 6, "Test": 6})
    tables = {"Train.csv": b"a", "Test.csv": b"a"}
    assert any(
        note.startswith("Test.csv may hold the labels of Test: data.labels") for note in read(files | tables).notes
    )
    assert not any("may hold" in note for note in read(files).notes)


class TestSplitsBesideAChoiceOfClasses:
    """data.classes is parent or file."""

    FOOD = {"training": 0, "validation": 0, "evaluation": 0}  # noqa: RUF012 - of Food-11, whose classes are in names
    PLACES = {"data_256/a/alley": 6, "data_256/b/bar": 6, "val_256": 5, "test_256": 4}  # noqa: RUF012

    def name_by_class(self, *folders: str) -> dict[str, bytes]:
        return {
            f"{folder}/{k}_{i}.jpg": f"{folder}{k}{i}".encode() for folder in folders for k in "ab" for i in range(4)
        }

    def test_evaluation_is_a_split_of_them(self):
        reading = read(self.name_by_class(*self.FOOD), classes="file")
        assert reading.splits == {"train": 8, "val": 8, "test": 8}

    def test_a_folder_beside_train_and_test_is_asked(self):
        files = self.name_by_class("train", "test", "extra")
        line = question(files, classes="file")
        assert "not said which split extra is" in line
        assert "data.splits={extra: ignore}" in line
        assert read(files, classes="file", splits={"extra": "train"}).splits == {"train": 16, "test": 8}
        assert read(files, classes="file", splits={"extra": "ignore"}).splits == {"train": 8, "test": 8}

    def test_the_split_that_is_missing_is_proposed(self):
        assert "data.splits={data_256: train}" in question(self.PLACES, classes="parent")

    def test_splits_without_class_folders_are_no_classes(self):
        reading = read(self.PLACES, classes="parent", splits={"data_256": "train"})
        assert reading.classes == {"alley": 6, "bar": 6}
        warning(reading, "val_256", "5 pictures", "unlabelled")

    def test_predictions_beside_them_are_left_out(self):
        reading = read(self.name_by_class("train", "test", "predictions"), classes="file")
        assert reading.splits == {"train": 8, "test": 8}
        warning(reading, "predictions", "unlabelled")

    def test_flat_has_none(self):
        assert read(self.name_by_class("train", "test", "extra"), classes="file", layout="flat").splits == {}

    def test_splits_in_data_sets_are_said_where_they_are_not_read(self):
        tree = {
            f"{top}/{split}/{label}": 5
            for top in ("sun", "voc")
            for split in ("train", "crossval", "test")
            for label in PAIR
        }
        assert "sun/crossval: val" in question(tree)
        warning(read(tree, classes="parent"), "called crossval, test, train", "not read as splits")


class TestDataSetsAmongFolders:
    """A folder with splits in it, beside others, is a data set and no class."""

    @pytest.mark.parametrize(
        "tree", [inside("set2/train", "set2/test"), inside("set2/set2/x/TRAIN", "set2/set2/x/TEST")]
    )
    def test_it_is_asked(self, tree):
        line = question(tree | {"set1/pictures": 9})
        assert "set2 is a class (data.layout=flat), or a data set by itself" in line
        assert read(tree | {"set1/pictures": 9}, root=line.partition("data.root=")[2].split()[0]).classes == BOTH

    def test_classes_with_one_folder_called_test_are_classes(self):
        assert set(read({"kit/test": 5, "kit/box": 5, "bag": 5}).classes) == {"kit", "bag"}

    def test_a_split_in_a_folder_of_another_form_of_its_name(self):
        tree = {
            "Training_Set/Training_Set/Training": 9,
            "Test_Set/Test_Set/Test": 5,
            "labels_train.csv": b"ID,A\n1,0\n",
        }
        assert "has no class folders" in question(tree)


class TestMasksBesideClasses:
    def test_segmentations_of_a_data_set_beside_it(self):
        photos = {f"set/images/{label}/{i}.jpg": f"{label}{i}".encode() for label in PAIR for i in range(5)}
        masks = {
            path.replace("set/images", "segmentations").replace(".jpg", ".png"): b"m" + data
            for path, data in photos.items()
        }
        for settings in ({}, {"classes": "parent"}):
            reading = read(photos | masks, **settings)
            assert reading.classes == {"cat": 5, "dog": 5}
            warning(reading, "segmentations", "left out")

    def test_a_class_called_segmentation_stays(self):
        assert set(read({"cat": 9, "dog": 9, "segmentation": 9}).classes) == {"cat", "dog", "segmentation"}

    def test_masks_beside_images_in_parts_of_data_classes_parent(self):
        tree = {"seen/images": 6, "seen/masks": 6, "new/cat": 7, "new/dog": 7}
        assert "masks" not in read(tree, classes="parent").classes
        assert "masks" in read(tree, classes="parent", layout="flat").classes

    def test_maps_are_masks_where_there_are_as_many(self):
        tree = {"cup": 4, "cup/maps": 4, "car": 4, "car/maps": 4}
        assert read(tree).classes == {"cup": 4, "car": 4}
        assert read(tree | {"cup/maps": 3, "car/maps": 3}).classes == {"cup": 7, "car": 7}

    @pytest.mark.parametrize("name", ["1_depth", "1-map", "1_maskcrop", "1_depthcrop"])
    def test_a_word_before_or_behind_the_name_of_another(self, name):
        files = {f"{label}/{file}.png": f"{label}{file}".encode() for label in PAIR for file in ("1", "1_crop", name)}
        reading = read(files)
        assert reading.classes == {"cat": 2, "dog": 2}
        warning(reading, "names of masks or thumbnails")


class TestVersionsInTopFolders:
    """color/cat/a1.jpg and grey/cat/a1.png are one leaf."""

    def list_files(self, *endings: str) -> dict[str, bytes]:
        return {
            f"{top}/{label}/leaf {label} {i}{end}.jpg": f"{top}{label}{i}".encode()
            for top, end in zip(("grey", "tinted", "cut"), endings, strict=True)
            for label in PAIR
            for i in range(4)
        }

    def test_they_are_said_in_the_question_and_after_it(self):
        files = self.list_files("", "", "_final_masked")
        assert "may be versions of the same pictures" in question(files)
        warning(read(files, classes="parent"), "the same names of pictures are in cut, grey, tinted")

    def test_other_names_are_other_pictures(self):
        files = self.list_files(" a", " b", " c")
        assert "versions" not in question(files)
        assert "same names" not in str(read(files, classes="parent").warnings)

    def test_numbers_are_no_names(self):
        assert "versions" not in question(inside("grey", "tinted", "cut"))

    def test_numbered_folders_may_be_different_classes(self):
        tree = {f"{alphabet}/character{number:02d}": 4 for alphabet in ("greek", "tifinagh") for number in (1, 2, 3)}
        assert "would join them" in question(tree)
        warning(read(tree, classes="parent"), "told apart by numbers only")


class TestDeepClasses:
    def test_they_are_said_inside_of_splits(self):
        tree = {
            f"{split}/{path}": 4
            for split in ("train", "val")
            for path in ("plant/fir", "plant/elm", "bug/bee", "bug/ant")
        }
        warning(read(tree), "ant, bee, elm, fir", "data.classes=parent")

    def test_they_are_said_however_deep(self):
        days = {"photo": ("mon", "tue"), "sketch": ("wed", "thu")}
        tree = {f"{kind}/{day}/{label}": 4 for kind in days for day in days[kind] for label in PAIR}
        warning(read(tree), "such as cat, dog", "data.classes=parent")

    def test_a_class_in_folders_is_told_from_others_only(self):
        line = warning(read({"bag/a": 5, "bag/b": 5, "cup": 5, "pen": 5}), "pictures only in folders")
        assert "unlike cup, pen:" in line


class TestVersionsWhereOneSplitIsDrawn:
    def test_they_are_said(self):
        files = {
            f"{split}/{label}/{i}_jpg.rf.{n}{i:08x}.jpg": f"{split}{label}{i}{n}".encode()
            for split, versions in (("train", 3), ("valid", 1))
            for label in PAIR
            for i in range(4)
            for n in range(versions)
        }
        warning(read(files), "changed copies")
        held_out = {path.replace("valid", "test"): data for path, data in files.items() if path.startswith("valid")}
        assert "changed copies" not in str(read(files | held_out).warnings)


def test_a_table_beside_splits_is_noted_once():
    tree = inside("imgs/train", "imgs/test") | {"drivers.csv": b"subject,img\np1,000.jpg\n"}
    assert [note for note in read(tree).notes if "drivers.csv is beside" in note]


class TestRenderings:
    def name_faces(self, first: str, second: str) -> dict[str, bytes]:
        return {
            f"{folder}/{name.format(i)}.jpg": f"{folder}{i}".encode()
            for i in range(9)
            for folder, name in (("before", first), ("after", second))
        }

    def test_a_class_made_of_another_is_said(self):
        warning(
            read(self.name_faces("face_{}", "face_{}_aligned")), "class 'after' have the names of those of 'before'"
        )

    @pytest.mark.parametrize(
        ("first", "second"), [("{}", "{}_fake"), ("face_{}", "face_{}"), ("a_{}_x", "a_{}_y"), ("a{}", "b{}_x")]
    )
    def test_others_are_not(self, first, second):
        assert "have the names of those" not in str(read(self.name_faces(first, second)).warnings)
