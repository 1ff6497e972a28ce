"""The page in which `dvc plots show` draws, whole and offline: DVC's own loads its drawing library from the network."""

import vl_convert

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
