"""How the documentation is built: `uv run just docs`."""

project = "DRYAD"
author = "The DRYAD authors"
project_copyright = author

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "decisions/template.md"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "DRYAD"
html_copy_source = False
