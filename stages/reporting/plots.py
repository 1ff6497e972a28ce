"""The page in which `dvc plots show` draws, whole and offline: DVC's own loads its drawing library from the network."""

from pathlib import Path

import vl_convert

from stages.files import write_aside

# Not among the outputs: `dvc plots diff` of experiments from a queue needs it in a workspace where nothing has run.
PAGE = Path(".cache/plots.html")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>DVC plots</title>
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
    """What .dvc/config names as plots.html_template, with DVC's own placeholders left in."""
    # DVC's plots call vegaEmbed; a script of the library's own text must not end the element that holds it.
    library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
    return _PAGE.format(library=library)


def save_plots_page(file: Path = PAGE) -> None:
    """Writes the page where .dvc/config says that it is. `make venv` calls this, and so does the report."""
    page = render_plots_page()
    if not file.exists() or file.read_text(encoding="utf-8") != page:
        with write_aside(file) as partial:
            partial.write_text(page, encoding="utf-8")
