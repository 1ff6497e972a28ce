"""The page in which `dvc plots show` draws, complete and offline: DVC's default page loads its library from the network."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import vl_convert

from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import PLOTS_PAGE

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>DVC plots</title>
<meta name="generator" content="{generator}">
<link rel="icon" href="data:,">
{{refresh_tag}}
<style>body {{ font-family: system-ui, sans-serif; margin: 1.5rem; }}</style>
<script>{library}</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def render_plots_page() -> str:
    """The template that .dvc/config names as plots.html_template, with the placeholders of DVC."""
    # DVC's plots call vegaEmbed; no text within the library may end the script element that holds it.
    library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
    return _PAGE.format(library=library, generator=_name_generator())


def _name_generator() -> str:
    """What the page depends on: the version of the library and the text of the template."""
    return f"vl-convert {version('vl-convert-python')}, page {hashlib.sha256(_PAGE.encode()).hexdigest()[:16]}"


def save_plots_page(file: Path = PLOTS_PAGE) -> None:
    """Writes the page where .dvc/config expects it, unless it is there already. `make venv` calls this, and the report."""
    # Bundling the library takes a second.
    if file.exists() and _name_generator() in file.read_text(encoding="utf-8"):
        return
    with write_aside(file) as partial:
        partial.write_text(render_plots_page(), encoding="utf-8")
