"""Thin Prefect tasks over the `dryad` library: when it is retried, how it is shown."""
