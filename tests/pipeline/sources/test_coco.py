import json

import pytest

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError
from pipeline.sources.coco import is_coco, read_coco
from pipeline.sources.label_table import LabelRow, parse_labels

CATEGORIES = [{"id": 1, "name": "fox", "supercategory": "dogs"}, {"id": 2, "name": "lynx", "supercategory": "cats"}]


def make(labels: dict[str, list[int]], categories: list[dict] = CATEGORIES) -> dict:
    """labels: ids of categories by file name."""
    images = [{"id": f"i{number}", "file_name": name, "width": 64} for number, name in enumerate(labels)]
    pairs = [(image["id"], category) for image in images for category in labels[image["file_name"]]]
    annotations = [{"image_id": image, "category_id": category, "bbox": [0, 0, 9, 9]} for image, category in pairs]
    return {"info": {}, "images": images, "annotations": annotations, "categories": [*categories]}


def read(content: dict) -> list[dict]:
    return [row for _, row in read_coco(content, "data.labels 'a.json'")]


def refuse(content: dict) -> str:
    with pytest.raises(PipelineError) as caught:
        read(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def parse(content: dict, **columns: str) -> list[LabelRow]:
    every = {"path": "file_name", "label": "label", "split": None, "group": None, "time": None}
    named = LabelColumns.model_validate(every | columns)
    return parse_labels(json.dumps(content, indent=1).encode(), named, "a.json")


class TestRows:
    def test_an_image_is_of_the_category_of_its_annotation(self):
        assert [row["label"] for row in read(make({"a.jpg": [2], "b.jpg": [1]}))] == ["lynx", "fox"]

    def test_several_boxes_of_one_category_are_one_label(self):
        assert [row["label"] for row in read(make({"a.jpg": [2, 2, 2]}))] == ["lynx"]

    def test_an_image_without_annotations_has_no_label(self):
        assert [row["label"] for row in read(make({"a.jpg": [], "b.jpg": [1]}))] == [None, "fox"]

    def test_what_else_the_file_says_of_an_image_stays(self):
        assert read(make({"a.jpg": [1]}))[0]["width"] == 64

    def test_as_labels(self):
        assert [(row.number, row.path, row.label) for row in parse(make({"a.jpg": [2], "b.jpg": [1]}))] == [
            (1, "a.jpg", "lynx"),
            (2, "b.jpg", "fox"),
        ]

    def test_the_groups_of_the_categories_can_be_the_classes(self):
        assert [row.label for row in parse(make({"a.jpg": [2], "b.jpg": [1]}), label="supercategory")] == [
            "cats",
            "dogs",
        ]

    def test_without_groups_there_is_no_column_of_them(self):
        bare = [{"id": row["id"], "name": row["name"]} for row in CATEGORIES]
        assert "supercategory" not in read(make({"a.jpg": [1]}, bare))[0]


class TestRefusals:
    def test_an_image_of_several_categories(self):
        line = refuse(make({"a.jpg": [1], "b.jpg": [2, 1]}))
        assert line.startswith(
            "data.labels 'a.json', image 2: 'b.jpg' is of classes lynx, fox: expected one class per picture"
        )

    def test_many_categories_are_not_all_named(self):
        categories = [{"id": number, "name": f"c{number}"} for number in range(8)]
        assert "c0, c1, c2, c3, c4 and 3 more:" in refuse(make({"a.jpg": list(range(8))}, categories))

    @pytest.mark.parametrize(
        ("key", "value"),
        [("image_id", "i9"), *(("category_id", value) for value in (9, None, [1, 2], [], {"id": 1}, 1.5))],
    )
    def test_an_annotation_of_what_is_not_there(self, key, value):
        content = make({"a.jpg": [1]})
        content["annotations"][0][key] = value
        assert f"annotation 1: {key} {value!r} is no id of its 1 images and 2 categories" in refuse(content)

    @pytest.mark.parametrize(
        ("name", "row", "said"),
        [
            ("images", {"id": "i0", "file_name": "b.jpg"}, "'b.jpg', and 'a.jpg'"),
            ("categories", {"id": 1, "name": "dog"}, "'dog', and 'fox'"),
            ("categories", {"id": 1, "name": None}, "'None', and 'fox'"),
        ],
    )
    def test_an_id_of_two(self, name, row, said):
        """Files that were joined, the ids of both from 1 on."""
        content = make({"a.jpg": [1]})
        content[name].append(row)
        line = refuse(content)
        assert (
            f"data.labels 'a.json', number {len(content[name])} of {name}: id {row['id']!r} is {said} in number 1"
            in line
        )
        assert "expected an id of its own for each" in line

    @pytest.mark.parametrize("name", ["images", "categories"])
    def test_not_one_that_is_twice_the_same(self, name):
        content = make({"a.jpg": [1]})
        content[name].append(content[name][0] | {"width": 65})
        assert [row["label"] for row in read(content)] == ["fox"]

    @pytest.mark.parametrize(
        ("name", "row"), [("images", {"file_name": "a.jpg"}), ("categories", "fox"), ("images", {"id": []})]
    )
    def test_a_row_without_an_id(self, name, row):
        content = make({"a.jpg": [1]})
        content[name].append(row)
        assert f"number {len(content[name])} of {name}: expected an object with 'id', received" in refuse(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"images": [], "annotations": [], "categories": []}, True),
        ({"images": [], "annotations": []}, False),
        ({"images": {}, "annotations": [], "categories": []}, False),
        ([], False),
    ],
)
def test_coco_is_known_by_its_lists(content, expected):
    assert is_coco(content) is expected
