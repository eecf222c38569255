"""Scans and providers

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

identity = sa.BigInteger().with_variant(sa.Integer, "sqlite")

PROVIDERS = (
    ("Alby", "wallet", "https://getalby.com"),
    ("Bitnob", "exchange", "https://bitnob.com"),
    ("Blink", "wallet", "https://blink.sv"),
    ("Machankura", "wallet", "https://8333.mobi"),
    ("Strike", "exchange", "https://strike.me"),
    ("Wallet of Satoshi", "wallet", "https://walletofsatoshi.com"),
)


def upgrade() -> None:
    """Create both tables and name the providers known from the start."""
    providers = op.create_table(
        "providers",
        sa.Column("id", identity, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("website", sa.String(200), nullable=False),
    )
    op.create_table(
        "scans",
        sa.Column("id", identity, primary_key=True),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    rows = [{"name": name, "kind": kind, "website": website} for name, kind, website in PROVIDERS]
    op.bulk_insert(providers, rows)


def downgrade() -> None:
    """Drop both tables with what is in them."""
    op.drop_table("scans")
    op.drop_table("providers")
