"""Back to any moment, with PostgreSQL: a base backup, and the archive of what was written since."""
