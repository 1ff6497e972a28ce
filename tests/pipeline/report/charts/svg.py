"""Reads charts: what is written in them, and which marks they have."""

from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def read_texts(svg: str) -> str:
    """All text in a chart, one line each; raises for what is no SVG."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert float(root.attrib["width"]) > 0
    assert float(root.attrib["height"]) > 0
    return "\n".join(element.text or "" for element in root.iter(f"{SVG}text"))


def _find_paths(svg: str, mark: str) -> list[ElementTree.Element]:
    groups = [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if mark in group.get("class", "")]
    return [path for group in groups for path in group.findall(f"{SVG}path")]


def count_lines(svg: str) -> int:
    return len(_find_paths(svg, "mark-line"))


def find_dots(svg: str) -> list[bool]:
    """For each dot of a chart, whether it is filled."""
    return [path.get("fill") not in (None, "transparent", "none") for path in _find_paths(svg, "mark-symbol")]
