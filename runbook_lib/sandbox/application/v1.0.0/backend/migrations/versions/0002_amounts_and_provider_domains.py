"""Amounts and provider domains

Revision: 0002, follows 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DOMAINS = {
    "getalby.com": "Alby",
    "bitnob.me": "Bitnob",
    "blink.sv": "Blink",
    "8333.mobi": "Machankura",
    "strike.me": "Strike",
    "walletofsatoshi.com": "Wallet of Satoshi",
}

scans = sa.table("scans", sa.column("fields", sa.JSON), sa.column("amount_sats", sa.BigInteger))
providers = sa.table("providers", sa.column("id"), sa.column("name"))


def upgrade() -> None:
    """Give each scan its amount, and tell which domain is whose."""
    op.add_column("scans", sa.Column("amount_sats", sa.BigInteger, nullable=True))
    op.create_index("ix_scans_created_at", "scans", ["created_at"])
    amount = sa.cast(scans.c.fields["amount_sats"].as_string(), sa.BigInteger)
    op.execute(sa.update(scans).values(amount_sats=amount))

    domains = op.create_table(
        "provider_domains",
        sa.Column("domain", sa.String(253), primary_key=True),
        sa.Column("provider_id", sa.BigInteger, sa.ForeignKey("providers.id", ondelete="CASCADE"), nullable=False),
    )
    for domain, name in DOMAINS.items():
        row = sa.select(sa.literal(domain), providers.c.id).where(providers.c.name == name)
        op.execute(sa.insert(domains).from_select(["domain", "provider_id"], row))


def downgrade() -> None:
    """Forget amounts and domains."""
    op.drop_table("provider_domains")
    op.drop_index("ix_scans_created_at", "scans")
    op.drop_column("scans", "amount_sats")
