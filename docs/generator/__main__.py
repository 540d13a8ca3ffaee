"""Write every generated page: `python -m docs.generator`."""

from docs.generator import PAGES, ROOT

for path, page in PAGES.items():
    (ROOT / path).write_text(page())
