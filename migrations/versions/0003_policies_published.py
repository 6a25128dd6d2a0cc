"""Policies as published things: versions, proposals, publications; judging again; alarms; caps

Locks: new tables, and one index on decisions, whose build holds up publishing for as long as it takes (about a second
for a million decisions); workers wait and go on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())
_APPEND_ONLY = ("policy_versions", "policy_publications")


def _created() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _number(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def upgrade() -> None:
    _versions()
    _publications()
    _redecisions()
    _guard_rails()
    op.create_index("ix_decisions_newest", "decisions", ["created_at", "id"], unique=False)


def _versions() -> None:
    op.create_table(
        "policy_versions",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("files", _JSON, nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policy_versions")),
    )
    op.create_table(
        "policy_proposals",
        _number("id"),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("base", sa.Text(), nullable=True),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("redecide", _JSON, nullable=True),
        _created(),
        sa.ForeignKeyConstraint(["version"], ["policy_versions.version"], name=op.f("fk_policy_proposals_version")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_policy_proposals_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_proposals")),
    )


def _publications() -> None:
    op.create_table(
        "policy_publications",
        _number("number"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("second_id", sa.Text(), nullable=True),
        sa.Column("second_name", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("restores", sa.BigInteger(), nullable=True),
        sa.Column("proposal", sa.BigInteger(), nullable=True),
        _created(),
        sa.CheckConstraint("kind IN ('publish','rollback')", name=op.f("ck_policy_publications_kind")),
        sa.CheckConstraint(
            "second_id IS NOT NULL OR reason IS NOT NULL", name=op.f("ck_policy_publications_second_or_reason")
        ),
        sa.ForeignKeyConstraint(["version"], ["policy_versions.version"], name=op.f("fk_policy_publications_version")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_policy_publications_tenant")),
        sa.ForeignKeyConstraint(
            ["restores"], ["policy_publications.number"], name=op.f("fk_policy_publications_restores")
        ),
        sa.ForeignKeyConstraint(["proposal"], ["policy_proposals.id"], name=op.f("fk_policy_publications_proposal")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_policy_publications")),
        sa.UniqueConstraint("proposal", name=op.f("uq_policy_publications_proposal")),
    )
    op.create_index("ix_policy_publications_scope", "policy_publications", ["tenant", "number"], unique=False)
    op.execute(
        """
        CREATE FUNCTION policy_history_stays() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME;
        END $$
        """
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_stay BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION policy_history_stays()"
        )


def _redecisions() -> None:
    op.create_table(
        "policy_redecisions",
        _number("id"),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("scope", _JSON, nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("boundary", sa.Text(), nullable=True),
        sa.Column("decided_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("cursor_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cursor_id", postgresql.UUID(as_uuid=False), nullable=True),
        _count("judged"),
        _count("changed"),
        _count("kept"),
        _count("failed"),
        _created(),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "cause IN ('publish','rollback','asked','boundary')", name=op.f("ck_policy_redecisions_cause")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_redecisions")),
        sa.UniqueConstraint("boundary", name=op.f("uq_policy_redecisions_boundary")),
    )
    op.create_index(
        "ix_policy_redecisions_open",
        "policy_redecisions",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def _guard_rails() -> None:
    op.create_table(
        "policy_alarms",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("times", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        _created(),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_policy_alarms")),
    )
    op.create_index("ix_policy_alarms_last", "policy_alarms", ["last_at"], unique=False)
    op.create_table(
        "rule_rejections",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rule", "day", "subject", name=op.f("pk_rule_rejections")),
    )
    op.create_table(
        "match_hours",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("photos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "tenant", "channel", "rule", "rule_version", name=op.f("pk_match_hours")),
    )


def downgrade() -> None:
    op.drop_index("ix_decisions_newest", table_name="decisions")
    for table in ("match_hours", "rule_rejections", "policy_alarms", "policy_redecisions"):
        op.drop_table(table)
    op.drop_table("policy_publications")
    op.drop_table("policy_proposals")
    op.drop_table("policy_versions")
    op.execute("DROP FUNCTION policy_history_stays()")
