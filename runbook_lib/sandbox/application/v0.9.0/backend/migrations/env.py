"""How Alembic reaches the database: by the application's own engine."""

import logging

from alembic import context
from models.database import engine
from models.tables import Base

logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)


def run_offline() -> None:
    """Print the SQL instead of running it (``alembic upgrade head --sql``)."""
    context.configure(dialect_name=engine.dialect.name, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run all pending migrations in one transaction."""
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
