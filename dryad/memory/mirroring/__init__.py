"""Keep copies of memory in other servers true to the ledger, and do without them when need be."""
