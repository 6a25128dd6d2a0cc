"""People, their sessions, and the audit log

Locks: new tables, and three columns without a default on tokens, which is small.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _moment(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _of_person(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.UUID(as_uuid=False), nullable=False),
        _moment("created_at", now=True),
        _moment("expires_at"),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f(f"fk_{table}_person_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f(f"pk_{table}")),
    ]


def upgrade() -> None:
    op.create_table(
        "persons",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("tenants", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        _moment("created_at", now=True),
        _moment("disabled_at", nullable=True),
        sa.CheckConstraint("role IN ('reviewer','lead','ml','admin')", name=op.f("ck_persons_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_persons")),
        sa.UniqueConstraint("login", name=op.f("uq_persons_login")),
    )
    for table in ("person_invitations", "person_sessions"):
        op.create_table(table, *_of_person(table))
        op.create_index(op.f(f"ix_{table}_person_id"), table, ["person_id"], unique=False)
    op.add_column("person_sessions", _moment("seen_at", now=True))
    op.create_index(op.f("ix_person_sessions_expires_at"), "person_sessions", ["expires_at"], unique=False)
    op.create_table(
        "login_tries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        _moment("at", now=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_tries")),
    )
    op.create_index("ix_login_tries_subject", "login_tries", ["subject", "at"], unique=False)
    for name in ("person_id", "made_by"):
        op.add_column("tokens", sa.Column(name, sa.UUID(as_uuid=False), nullable=True))
        op.create_foreign_key(op.f(f"fk_tokens_{name}"), "tokens", "persons", [name], ["id"])
    op.add_column("tokens", _moment("last_used_at", nullable=True))
    _audit_log()


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        _moment("at"),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("actor_kind", "actor_id", "actor_name")),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("actor_kind IN ('person','token','system')", name=op.f("ck_audit_log_actor_kind")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_log")),
    )
    op.execute(
        """
        CREATE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'entries of the audit log are only ever added';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION audit_log_stays()"
    )


def downgrade() -> None:
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION audit_log_stays()")
    for name in ("person_id", "made_by", "last_used_at"):
        op.drop_column("tokens", name)
    for table in ("login_tries", "person_sessions", "person_invitations", "persons"):
        op.drop_table(table)
