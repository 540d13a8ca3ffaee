"""Backup sets: what an installation keeps of itself, sealed, so that it can be what it was."""
