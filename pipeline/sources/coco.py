"""Labels as COCO's files have them, and so those of iNaturalist, FGVC, LILA and Roboflow: images, annotations, categories."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pipeline.runtime.errors import PipelineError

LABEL, ABOVE = "label", "supercategory"
_LISTS = ("images", "annotations", "categories")
_NAMED = 5  # categories of an image in a message


def is_coco(content: Any) -> bool:
    """Whether what a JSON file holds has the three lists."""
    return isinstance(content, dict) and all(isinstance(content.get(name), list) for name in _LISTS)


def read_coco(content: dict[str, Any], what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number in the list, from 1; what the file says) of each image, with `label`, the name of its annotations' category, None
    without annotations, and, where categories have it, `supercategory`.

    what: for messages, such as "data.labels 'train.json'". Raises PipelineError, one line, for an image of several categories,
    for an annotation of an image or a category that is not there, and for an id of two images or categories.
    """
    names = {key: row for key, (_, row) in _index(content, "categories", "name", what).items()}
    images = _index(content, "images", "file_name", what)
    found: dict[Any, dict[Any, None]] = defaultdict(dict)  # categories of an image, each once, in their order
    for number, key, row in _list(content, "annotations", "image_id", what):
        category = row.get("category_id")
        if key not in images or isinstance(category, dict | list) or category not in names:
            missing = f"category_id {repr(category)[:60]}" if key in images else f"image_id {key!r}"
            raise PipelineError(
                f"{what}, annotation {number}: {missing} is no id of its {len(images):,} images and {len(names):,} categories"
            )
        found[key][category] = None
    has_above = any(row.get(ABOVE) for row in names.values())
    for key, (number, row) in images.items():
        own = [names[category] for category in found.get(key, ())]
        if len(own) > 1:
            _refuse_several(f"{what}, image {number}: {row.get('file_name')!r}", own)
        category = own[0] if own else {}
        yield number, row | {LABEL: category.get("name")} | ({ABOVE: category.get(ABOVE)} if has_above else {})


def _list(content: dict[str, Any], name: str, key: str, what: str) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """(number, from 1; value of the key; row) of each object in a list."""
    for number, row in enumerate(content[name], start=1):
        if not isinstance(row, dict) or not isinstance(row.get(key), str | int):
            raise PipelineError(
                f"{what}, number {number} of {name}: expected an object with {key!r}, received {str(row)[:60]}"
            )
        yield number, row[key], row


def _index(content: dict[str, Any], name: str, title: str, what: str) -> dict[Any, tuple[int, dict[str, Any]]]:
    """(number, row) of each object in a list by its id. title: of the key that tells two objects apart, where they have it."""
    found: dict[Any, tuple[int, dict[str, Any]]] = {}
    for number, key, row in _list(content, name, "id", what):
        before, other = found.get(key, (number, row))
        old, new = other.get(title, other), row.get(title, row)
        if old != new:
            raise PipelineError(
                f"{what}, number {number} of {name}: id {key!r} is {str(new)[:60]!r}, and {str(old)[:60]!r} in number "
                f"{before}: expected an id of its own for each; if files were joined, let data.labels name each by a pattern"
            )
        found[key] = number, row
    return found


def _refuse_several(image: str, categories: list[dict[str, Any]]) -> None:
    names = [str(row.get("name")) for row in categories]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    raise PipelineError(
        f"{image} is of classes {', '.join(names[:_NAMED])}{more}: expected one class per picture; for detection, "
        "cut the boxes out into folders of their classes, or take the pictures of several classes out of the file"
    )
