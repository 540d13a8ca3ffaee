# What one does with this repository: `uv run just` lists it, `uv run just check` comes before a commit.

set shell := ["bash", "-euo", "pipefail", "-c"]

# List the recipes.
default:
    @just --list --unsorted

# Format, lint, types, imports and the fast tests: under a minute, before every commit.
check: style types imports fast

# Everything CI runs, part by part with its seconds; installs what it needs where it may.
test: system
    #!/usr/bin/env bash
    set -uo pipefail
    seconds=() failed=()
    rm -f .coverage .coverage.*
    for part in style types imports docs unit e2e coverage; do
        echo "── $part"
        start=$SECONDS
        just "$part" || failed+=("$part")
        seconds+=("$(printf '%5d s  %s' $((SECONDS - start)) "$part")")
    done
    printf '%s\n' "── seconds" "${seconds[@]}"
    if ((${#failed[@]})); then
        echo "failed: ${failed[*]}" >&2
        exit 1
    fi

# The long loops of kills, big data and bursts: run before an issue is resolved.
soak *options:
    pytest -m soak {{ options }}

# Build the documentation into docs/_build; a warning is an error.
docs:
    sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build

# Write the pages of docs/reference that come from the code.
reference:
    python -m docs.generator

# Measure one benchmark of benchmarks/, by its name.
bench name *options:
    python -m benchmarks.{{ name }} {{ options }}

# Repair what a machine can: format, and the lint that fixes itself.
fix:
    ruff format .
    ruff check --fix .

# Format and lint, changing nothing.
style:
    ruff format --check .
    ruff check .

# Types, strictly.
types:
    pyright

# Who imports whom.
imports:
    lint-imports

# The tests without the whole product and without a Prefect server.
fast *options:
    pytest --quiet -m "not e2e and not prefect and not soak" --numprocesses=3 --dist=loadfile {{ options }}

# The tests of the parts, measuring which lines run.
unit *options:
    coverage run -m pytest -m "not e2e and not soak" --numprocesses=3 --dist=loadfile --durations=10 {{ options }}

# The tests of the whole product, as a user starts it; minutes long.
e2e *options:
    coverage run -m pytest -m "e2e and not soak" --numprocesses=2 --dist=loadfile --durations=10 {{ options }}

# Which lines of dryad/ no test ran.
coverage:
    coverage combine --quiet
    coverage report

# What the tests need from the system: installed by root on Debian, named everywhere else.
system:
    #!/usr/bin/env bash
    set -euo pipefail
    missing=()
    command -v chromium chromium-browser google-chrome >/dev/null || missing+=(chromium)
    command -v bwrap >/dev/null || missing+=(bubblewrap)
    command -v dockerd >/dev/null || missing+=(docker.io iptables)
    ((${#missing[@]})) || exit 0
    if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "Not installed: ${missing[*]}. Tests that need them are skipped, each with its reason." >&2
    fi
