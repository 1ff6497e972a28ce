"""Names in tables that `dvc plots` draws: DVC puts them into a script of its page, and escapes nothing. Pure."""

import re

import pandas as pd

# What would end that script, open a comment in which its end is not seen, or be taken for a placeholder of the page.
# Backslashes that are there already get one more, so that what differs stays different.
_MARKUP = re.compile(r"<(?=\\*(?:/|!--|script))|\{(?=\\*refresh_tag\})", re.IGNORECASE)


def make_drawable(table: pd.DataFrame) -> pd.DataFrame:
    """A table with `<\\/script>` in place of `</script>`, and likewise `<!--` and `<script>`: one-to-one."""
    text = table.select_dtypes(["object", "string"]).columns
    return table.assign(**{name: table[name].map(_escape) for name in text})


def _escape(value: object) -> object:
    return _MARKUP.sub(lambda found: found[0] + "\\", value) if isinstance(value, str) else value
