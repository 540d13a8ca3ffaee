"""What DRYAD does, one deployable flow a file; each reads like the runbook."""
