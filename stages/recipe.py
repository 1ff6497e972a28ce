"""Prints the whole recipe that each family trains with, as YAML, and where each value comes from: the family's study, the
defaults of its kind, the family whose features it shares, or `train`, which overrides all of these."""

import math
import sys
from typing import Any

import yaml

from pipeline.config.families import check_family
from pipeline.config.nested import KeyPath, look_up
from pipeline.config.reader import check_params, read_file
from pipeline.config.recipes import expand_recipes, resolve_family, trace_origins
from pipeline.runtime.cli import configure, make_parser, report_answers

_COLUMN = 31  # of the comments, unless a value is longer


def main() -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("recipe", __doc__)
    parser.add_argument(
        "families", metavar="FAMILY", nargs="*", help="names under recipes in params.yaml; none = families"
    )
    arguments = configure(parser.parse_args())
    return report_answers(lambda: recipe(arguments.families))


def recipe(families: list[str]) -> None:
    content = read_file()
    params = check_params(expand_recipes(content))
    for family in families:
        check_family(family, parameter="FAMILY")
    for family in families or params.families:
        settings = resolve_family(params, family).model_dump()
        print(write_recipe(family, settings, trace_origins(content["recipes"], params, family)))


class _Dumper(yaml.SafeDumper):
    """With lists in brackets, on the line of their name."""


_Dumper.add_representer(
    list, lambda dumper, values: dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)
)


def write_recipe(family: str, settings: dict[str, Any], origins: dict[KeyPath, str]) -> str:
    """YAML with a comment on each value. origins: comments by path, in the order of the lines."""
    ordered: dict[str, Any] = {}
    for path in origins:
        section = ordered
        for key in path[:-1]:
            section = section.setdefault(key, {})
        section[path[-1]] = look_up(settings, path)
    lines = yaml.dump(
        {family: ordered}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf
    ).splitlines()
    comments = iter(origins.values())
    return "\n".join(line if line.endswith(":") else f"{line:<{_COLUMN}} # {next(comments)}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
