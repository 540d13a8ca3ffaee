"""Restore from a backup set: stores are made ready beside the live ones, then change places."""
