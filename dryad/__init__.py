"""DRYAD: a governed multi-agent platform. The library in six levels, and its edges."""
