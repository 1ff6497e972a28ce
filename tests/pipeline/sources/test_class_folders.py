import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.class_folders import TreeFile, read_tree
from pipeline.sources.formats import IMAGE_EXTENSIONS


def labels(*paths: str) -> dict[str, tuple[str, str]]:
    """(split, label) by path, of the files that can be images."""
    return {file.path: (file.source_split, file.label) for file in read_tree(paths, "here") if not file.reason}


def reasons(*paths: str) -> dict[str, str]:
    return {file.path: file.reason for file in read_tree(paths, "here") if file.reason}


def refusal(*paths: str) -> str:
    with pytest.raises(PipelineError) as caught:
        read_tree(paths, "folder 'x'")
    assert str(caught.value).startswith("folder 'x' ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def both(pattern: str) -> tuple[str, ...]:
    """The pattern with each of two classes in place of the star."""
    return tuple(f"{pattern.replace('*', name)}/{name}.jpg" for name in ("cat", "dog"))


def test_class_folders():
    assert labels(*both("*")) == {"cat/cat.jpg": ("", "cat"), "dog/dog.jpg": ("", "dog")}


def test_files_are_sorted_by_path():
    paths = ["dog/2.jpg", "cat/10.jpg", "dog/1.jpg", "cat/2.jpg"]
    assert [file.path for file in read_tree(paths, "here")] == sorted(paths)
    assert read_tree(paths, "here") == read_tree(reversed(paths), "here")


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *((name, "val") for name in ("val", "valid", "validation", "Validation", "VAL", "dev", "seg_val", "val_set")),
        *((name, "test") for name in ("test", "testing", "Test", "seg_test", "test_set", "testing_set")),
        *((name, "train") for name in ("training", "seg_train", "TRAIN", "training_set")),
    ],
)
def test_split_folders_have_many_names(folder, split):
    found = labels(*both("train/*"), *both(f"{folder}/*"))
    assert found[f"{folder}/cat/cat.jpg"] == (split, "cat")
    assert found["train/dog/dog.jpg"] == ("train", "dog")


def test_train_val_and_test_together():
    found = labels(*both("train/*"), *both("val/*"), *both("test/*"))
    assert {split for split, _ in found.values()} == {"train", "val", "test"}
    assert {label for _, label in found.values()} == {"cat", "dog"}


def test_a_train_folder_alone():
    assert set(labels(*both("train/*")).values()) == {("train", "cat"), ("train", "dog")}


def test_kaggles_doubled_folders_are_read_and_the_unlabelled_ones_ignored():
    found = labels(
        *both("seg_train/seg_train/*"),
        *both("seg_test/seg_test/*"),
        "seg_pred/seg_pred/1.jpg",
        "seg_pred/seg_pred/2.jpg",
    )
    assert found == {
        "seg_train/seg_train/cat/cat.jpg": ("train", "cat"),
        "seg_train/seg_train/dog/dog.jpg": ("train", "dog"),
        "seg_test/seg_test/cat/cat.jpg": ("test", "cat"),
        "seg_test/seg_test/dog/dog.jpg": ("test", "dog"),
    }


def test_one_split_doubled_the_other_not():
    found = labels(*both("train/train/*"), *both("test/*"))
    assert set(found.values()) == {("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")}


@pytest.mark.parametrize("folder", ["seg_pred", "pred", "Unlabelled", "unlabeled", "prediction"])
def test_unlabelled_images_beside_splits_are_ignored(folder):
    files = read_tree([*both("train/*"), f"{folder}/1.jpg", f"{folder}/{folder}/2.jpg"], "here")
    assert {file.label for file in files} == {"cat", "dog"}


@pytest.mark.parametrize("wrapper", ["animals", "a/b", "a/b/c", "archive (1)/data.v2"])
@pytest.mark.parametrize("inside", ["", "train/"])
def test_wrapping_folders_are_skipped(wrapper, inside):
    found = labels(*both(f"{wrapper}/{inside}*"))
    assert set(found.values()) == {(inside.rstrip("/"), "cat"), (inside.rstrip("/"), "dog")}


def test_a_wrapper_around_doubled_splits():
    found = labels(*both("intel/seg_train/seg_train/*"), *both("intel/seg_test/seg_test/*"))
    assert set(found.values()) == {("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")}


def test_a_text_file_beside_or_in_a_wrapper_does_not_hide_the_classes():
    paths = [*both("animals/*"), "LICENSE.txt", "animals/readme.md", "docs/more/about.txt"]
    assert set(labels(*paths).values()) == {("", "cat"), ("", "dog")}
    assert set(reasons(*paths)) == {"LICENSE.txt", "animals/readme.md", "docs/more/about.txt"}


def test_a_folder_of_texts_beside_splits_is_not_a_mixture():
    found = labels(*both("train/*"), *both("test/*"), "docs/about.txt")
    assert {split for split, _ in found.values()} == {"train", "test"}


@pytest.mark.parametrize("vehicle", ["train", "Train", "training"])
def test_a_class_called_train_among_vehicles(vehicle):
    found = labels("bus/1.jpg", "car/1.jpg", f"{vehicle}/1.jpg")
    assert found[f"{vehicle}/1.jpg"] == ("", vehicle)
    assert found["bus/1.jpg"] == ("", "bus")


@pytest.mark.parametrize("wrapper", ["", "vehicles/"])
def test_a_class_called_train_among_vehicles_in_splits(wrapper):
    paths = [f"{wrapper}{split}/{name}/1.jpg" for split in ("train", "test") for name in ("bus", "car", "train")]
    found = labels(*paths)
    assert found[f"{wrapper}train/train/1.jpg"] == ("train", "train")
    assert found[f"{wrapper}test/train/1.jpg"] == ("test", "train")
    assert len(found) == 6


def test_splits_mixed_with_other_folders_are_refused():
    line = refusal(*both("train/*"), *both("test/*"), "lion/1.jpg")
    assert "mixes splits (test, train) with other folders (lion)" in line


def test_splits_without_train_are_refused():
    assert "no train folder" in refusal(*both("test/*"), *both("val/*"))


def test_images_without_class_folders_are_refused_with_an_example():
    line = refusal("1.jpg", "2.jpg")
    assert "no class folders" in line
    assert "'1.jpg'" in line


def test_images_in_splits_without_class_folders_are_refused():
    assert "no class folders" in refusal("train/1.jpg", "test/2.jpg")


@pytest.mark.parametrize(
    "paths", [[], ["Thumbs.db"], ["cat/.DS_Store", ".git/config", "__MACOSX/cat/._1.jpg", "dog/desktop.ini"]]
)
def test_a_folder_of_litter_counts_as_empty(paths):
    assert "contains no files" in refusal(*paths)


@pytest.mark.parametrize(
    "litter",
    [
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "cat/._1.jpg",
        ".ipynb_checkpoints/1.jpg",
        "__MACOSX/cat/1.jpg",
        ".hidden",
        "cat/Icon\r",
    ],
)
def test_litter_is_ignored(litter):
    assert {file.path for file in read_tree([*both("*"), litter], "here")} == {"cat/cat.jpg", "dog/dog.jpg"}


def test_the_leading_dot_folder_of_tar_is_not_litter():
    assert set(labels(*both("./*")).values()) == {("", "cat"), ("", "dog")}


def test_folders_below_a_class_belong_to_it():
    found = labels("cat/2020/may/1.jpg", "cat/2.jpg", "dog/small/very/3.jpg")
    assert found == {"cat/2020/may/1.jpg": ("", "cat"), "cat/2.jpg": ("", "cat"), "dog/small/very/3.jpg": ("", "dog")}


def test_a_folder_below_a_class_may_be_called_test():
    assert labels("cat/test/1.jpg", "dog/train/1.jpg")["cat/test/1.jpg"] == ("", "cat")


@pytest.mark.parametrize("extension", sorted(IMAGE_EXTENSIONS))
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_extensions_are_recognized_in_any_case(extension, change):
    name = f"1{change(extension)}"
    assert labels(f"cat/{name}", "dog/1.jpg")[f"cat/{name}"] == ("", "cat")


def test_the_usual_extensions_are_known():
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif"} <= IMAGE_EXTENSIONS


@pytest.mark.parametrize("name", ["notes.txt", "clip.mp4", "picture", "1.jpg.zip", "1.svg"])
def test_another_file_in_a_class_folder_has_a_reason(name):
    assert reasons(*both("*"), f"cat/{name}")[f"cat/{name}"].startswith("not an image file: extension")


@pytest.mark.parametrize("name", ["1f3a", "1.jpg?w=200", "1.jpg.~2~"])
def test_what_may_be_a_picture_by_another_name_is_told_to_be_renamed(name):
    assert reasons(*both("*"), f"cat/{name}")[f"cat/{name}"].endswith("if it is a picture, rename it, as to .jpg")
    assert refusal(f"cat/{name}", f"dog/{name}").endswith("if these are pictures, rename them")


@pytest.mark.parametrize("name", ["clip.mp4", "train-00000-of-00001.parquet", "notes.txt"])
def test_what_is_something_else_is_not(name):
    assert "rename" not in reasons(*both("*"), f"cat/{name}")[f"cat/{name}"]
    assert "rename" not in refusal(f"cat/{name}", f"dog/{name}")


@pytest.mark.parametrize("path", ["stray.jpg", "README.md"])
def test_a_file_outside_class_folders_has_a_reason_and_no_label(path):
    files = {file.path: file for file in read_tree([*both("*"), path], "here")}
    assert files[path] == TreeFile(path, "", "", "lies in no class folder", path)


def test_an_image_in_a_split_outside_class_folders_has_a_reason():
    assert reasons(*both("train/*"), *both("test/*"), "test/1.jpg") == {"test/1.jpg": "lies in no class folder"}


@pytest.mark.parametrize(
    "name",
    [
        "polar bear",
        "v1.0",
        "mr. whiskers",
        "Käfer",
        "猫",
        "🐼",
        "bear, brown",
        'so "called"',
        "it's",
        "NA",
        "007",
        " x ",
    ],
)
def test_class_names_may_be_any_text(name):
    assert labels(f"{name}/1.jpg", "dog/1.jpg")[f"{name}/1.jpg"] == ("", name)
    assert labels(f"train/{name}/1.jpg", "train/dog/1.jpg")[f"train/{name}/1.jpg"] == ("train", name)


def test_a_single_class_is_not_refused_here():
    assert labels("cat/1.jpg", "cat/2.jpg") == {"cat/1.jpg": ("", "cat"), "cat/2.jpg": ("", "cat")}


@pytest.mark.parametrize("folders", [[], ["cat/" + "again/" * 1200 + "again"]])
def test_folders_inside_each_other_without_end_are_refused_in_one_line(folders):
    paths = ["cat/1.png", "dog/2.png"] if folders else ["cat/" + "again/" * 1201 + "1.png", "dog/2.png"]
    with pytest.raises(PipelineError, match=r"has 1,20\d folders inside each other, below 'cat/again") as caught:
        read_tree(paths, "here", folders=folders)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_only_a_table_that_names_pictures_of_the_source_is_proposed():
    """Places365: the tables of val and of train, beside the pictures of val alone."""
    files = {f"val_256/Places365_val_{number}.jpg": b"" for number in range(3)} | {
        "places365_train.txt": b"/a/airfield/1.jpg 0\n/a/alley/2.jpg 1\n",
        "places365_val.txt": b"Places365_val_1.jpg 0\nPlaces365_val_2.jpg 1\n",
    }
    with pytest.raises(PipelineError, match=r"set data\.labels=places365_val\.txt"):
        read_tree(files, "folder 'x'", read_file=files.__getitem__)
