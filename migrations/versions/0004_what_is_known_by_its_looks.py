"""What is known by its looks: hash banks, and the hashes of photos

Locks: new tables only; the foreign keys to jobs and tenants take a short SHARE ROW EXCLUSIVE lock on those.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hash_banks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("threshold", sa.SmallInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("set_aside", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('block','allow')", name=op.f("ck_hash_banks_kind")),
        sa.CheckConstraint("threshold BETWEEN 0 AND 63", name=op.f("ck_hash_banks_threshold")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_hash_banks_tenant")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hash_banks")),
    )
    op.create_table(
        "bank_entries",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("bank", sa.Text(), nullable=False),
        sa.Column("pdq", sa.Text(), nullable=False),
        sa.Column("threshold", sa.SmallInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("set_aside", sa.Text(), nullable=True),
        sa.CheckConstraint("pdq ~ '^[0-9a-f]{64}$'", name=op.f("ck_bank_entries_pdq")),
        sa.CheckConstraint("threshold BETWEEN 0 AND 63", name=op.f("ck_bank_entries_threshold")),
        sa.ForeignKeyConstraint(["bank"], ["hash_banks.name"], name=op.f("fk_bank_entries_bank")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_entries")),
        sa.UniqueConstraint("bank", "pdq", name=op.f("uq_bank_entries_bank_pdq")),
    )
    op.create_table(
        "bank_matches",
        sa.Column("entry_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("matches", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["bank_entries.id"], name=op.f("fk_bank_matches_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", "hour", name=op.f("pk_bank_matches")),
    )
    op.create_table(
        "bank_version",
        sa.Column("single", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("single", name=op.f("ck_bank_version_single")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_bank_version")),
    )
    op.create_table(
        "photo_hashes",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("pdq", sa.Text(), nullable=False),
        sa.Column("chunks", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_photo_hashes_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_photo_hashes")),
    )
    op.create_index("ix_photo_hashes_chunks", "photo_hashes", ["chunks"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_photo_hashes_chunks", table_name="photo_hashes", postgresql_using="gin")
    op.drop_table("photo_hashes")
    op.drop_table("bank_version")
    op.drop_table("bank_matches")
    op.drop_table("bank_entries")
    op.drop_table("hash_banks")
