"""What runs inside a sandbox as its first process.

These modules are sent into the sandbox as compiled code: they import the standard library and each
other, never the rest of DRYAD, and start without `site`, so every import here costs each run.
"""
