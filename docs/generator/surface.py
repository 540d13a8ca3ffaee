"""The public surface: every name that somebody outside may rely on."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import dryad.api.routes
from docs.generator.cli import commands
from docs.generator.deployments import deployed, full_name
from docs.generator.markdown import page, table
from dryad.foundation.logs import FILES

INTRODUCTION = """\
These names are contracts: they change only with a major version, and an old one keeps working for a
minor version before it goes. This page is generated and committed, so that no name changes
unnoticed."""

TAGS = [("`tenant:<id>`", "whose run it is"), ("`task:<id>`", "which task the run carries")]
TAGS += [("`awaiting-human`", "the run is suspended and waits for a person")]


def surface() -> str:
    """Return the page of all public names."""
    return page(
        "Public surface",
        INTRODUCTION,
        "## Command line",
        "\n".join(f"- `dryad {path}`" for path, _ in commands()),
        "## HTTP",
        table(
            ("Request", "What it does"), [(f"`{request}`", about) for request, about in routes()]
        ),
        "## Deployments",
        "\n".join(f"- `{full_name(entry)}`" for entry in deployed()) or "None yet.",
        "## Tags on flow runs",
        table(("Tag", "Meaning"), TAGS),
        "## Log files",
        "\n".join(f"- `{name}`" for name in FILES),
    )


def routes() -> Iterator[tuple[str, str]]:
    """Yield every request the API answers, as `METHOD /path`, with what it does."""
    for module in pkgutil.iter_modules(dryad.api.routes.__path__):
        router = import_module(f"dryad.api.routes.{module.name}").router
        prefix = "" if module.name == "health" else "/api/v1"
        for route in router.routes:
            for method in sorted(route.methods - {"HEAD"}):
                if route.include_in_schema:
                    about = (route.description or "").partition("\n\n")[0]
                    yield f"{method} {prefix}{route.path}", " ".join(about.split())
