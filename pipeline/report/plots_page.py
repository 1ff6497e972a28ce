"""The page in which `dvc plots show` draws, complete and offline: DVC's default page loads its library from the network."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import vl_convert

from pipeline.report.page import make_policy
from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import PLOTS_PAGE

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>DVC plots</title>
<meta name="generator" content="{generator}">
<link rel="icon" href="data:,">
{{refresh_tag}}
<style>body {{ font-family: system-ui, sans-serif; margin: 1.5rem; }}</style>
</head>
<body>
<template id="plots">
{{plot_divs}}
</template>
<script>{script}</script>
</body>
</html>
"""
# DVC writes a script for each plot, `var spec = {...}; vegaEmbed('#id', spec);`, and its text differs each time: the page's
# policy could allow it only by allowing every script. In a template it does not run. Here the specification is read out of it,
# as JSON, and drawn; Vega interprets the expressions in it, and makes no code of them.
_DRAW = r"""
function readSpec(text) {
  const json = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
  return JSON.parse(json.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (word) => word.startsWith('"') ? word : "null"));
}
for (const part of document.getElementById("plots").content.children) {
  const place = part.cloneNode(true), scripts = part.querySelectorAll("script");
  place.querySelectorAll("script").forEach((script) => script.remove());
  document.body.append(place);
  scripts.forEach((script) => vegaEmbed(place, readSpec(script.textContent), { ast: true }));
}
"""


def render_plots_page() -> str:
    """The template that .dvc/config names as plots.html_template, with the placeholders of DVC."""
    # DVC's plots call vegaEmbed; no text within the library may end the script element that holds it.
    library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
    script = library + _DRAW
    return _PAGE.format(
        script=script, policy=make_policy(script, "'self' file: data: blob:"), generator=_name_generator()
    )


def _name_generator() -> str:
    """What the page depends on: the version of the library and the text of the template."""
    return (
        f"vl-convert {version('vl-convert-python')}, page {hashlib.sha256((_PAGE + _DRAW).encode()).hexdigest()[:16]}"
    )


def save_plots_page(file: Path = PLOTS_PAGE) -> None:
    """Writes the page where .dvc/config expects it, unless it is there already. `make venv` calls this, and the report."""
    # Bundling the library takes a second.
    if file.exists() and _name_generator() in file.read_text(encoding="utf-8"):
        return
    with write_aside(file) as partial:
        partial.write_text(render_plots_page(), encoding="utf-8")
