"""Wired objects, a file a level: each class opens its own lazily and closes it at the end."""
