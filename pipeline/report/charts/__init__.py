"""Charts as SVG, one module per page or section of a page, all in the look of `theme`."""
