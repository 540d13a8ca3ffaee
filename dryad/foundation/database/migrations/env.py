"""Called by Alembic; `dryad.foundation.database.migrate` opened and locked the connection."""

from alembic import context

from dryad.foundation.database.migrate import CONNECTION, comparison

connection = context.config.attributes[CONNECTION]
context.configure(connection=connection, **comparison(connection))
with context.begin_transaction():
    context.run_migrations()
