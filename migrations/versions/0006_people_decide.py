"""People decide: claims, resolutions, training samples, drafts, golden items

Locks: review_cases is read and changed by every publication; its new columns have constant defaults, so that nothing is
rewritten, but its indexes are built under a lock that holds publications up (about a second for 100,000 cases).
Going back removes second looks and opens decided cases again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_WAITING = "state IN ('open', 'escalated', 'held')"


def upgrade() -> None:
    _widen_cases()
    _add_resolutions()
    _add_samples()
    op.create_table(
        "review_drafts",
        sa.Column("case_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["review_cases.id"], name=op.f("fk_review_drafts_case_id")),
        sa.PrimaryKeyConstraint("case_id", "person_id", name=op.f("pk_review_drafts")),
    )
    op.create_table(
        "golden_items",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("case_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("answer IN ('uphold','overturn')", name=op.f("ck_golden_items_answer")),
        sa.ForeignKeyConstraint(["case_id"], ["review_cases.id"], name=op.f("fk_golden_items_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_golden_items")),
        sa.UniqueConstraint("case_id", name=op.f("uq_golden_items_case_id")),
    )
    op.create_index(op.f("ix_golden_items_tenant"), "golden_items", ["tenant"], unique=False)


def _widen_cases() -> None:
    text, moment = sa.Text(), sa.DateTime(timezone=True)
    for column in (
        sa.Column("kind", text, server_default=sa.text("'flagged'"), nullable=False),
        sa.Column("about", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("policy_code", text, server_default=sa.text("''"), nullable=False),
        sa.Column("due_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("due_slot", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("label_value", sa.REAL(), server_default=sa.text("0"), nullable=False),
        sa.Column("needs_lead", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("excluded", postgresql.ARRAY(text), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("skipped", postgresql.ARRAY(text), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("holder", text, nullable=True),
        sa.Column("lease_token", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("lease_until", moment, nullable=True),
        sa.Column("hold_until", moment, nullable=True),
        sa.Column("reason", text, nullable=True),
        sa.Column("stratum", postgresql.JSONB(astext_type=text), nullable=True),
    ):
        op.add_column("review_cases", column)
    op.drop_constraint(op.f("ck_review_cases_state"), "review_cases", type_="check")
    states = "state IN ('open','escalated','held','upheld','overturned','superseded')"
    op.create_check_constraint(op.f("ck_review_cases_state"), "review_cases", states)
    kinds = "kind IN ('flagged','appeal','blind','lead','golden','audit')"
    op.create_check_constraint(op.f("ck_review_cases_kind"), "review_cases", kinds)
    op.drop_constraint(op.f("uq_review_cases_job_id"), "review_cases", type_="unique")
    op.drop_index("ix_review_cases_queue", table_name="review_cases")
    op.create_index(
        "ix_review_cases_queue",
        "review_cases",
        ["tenant", sa.literal_column("severity DESC"), "due_slot", sa.literal_column("label_value DESC"), "id"],
        postgresql_where=sa.text(_WAITING),
    )
    op.create_index("ix_review_cases_photo", "review_cases", ["tenant", "product_id", "image_id"])
    op.create_index("ix_review_cases_job", "review_cases", ["job_id"])
    op.create_index(
        "uq_review_cases_flagged",
        "review_cases",
        ["job_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'flagged'"),
    )
    op.create_index(
        "uq_review_cases_appeal",
        "review_cases",
        ["about"],
        unique=True,
        postgresql_where=sa.text(f"kind = 'appeal' AND {_WAITING}"),
    )


def _add_resolutions() -> None:
    op.create_table(
        "review_resolutions",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("case_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("person_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("policy_code", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("state_before", sa.Text(), nullable=False),
        sa.Column("decision_before", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("decision_after", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("event_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("bulk_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("undo_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reopened_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "action IN ('uphold','overturn','escalate','hold')", name=op.f("ck_review_resolutions_action")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["review_cases.id"], name=op.f("fk_review_resolutions_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_resolutions")),
        sa.UniqueConstraint(
            "person_id", "idempotency_key", name=op.f("uq_review_resolutions_person_id_idempotency_key")
        ),
        sa.UniqueConstraint("seq", name=op.f("uq_review_resolutions_seq")),
    )
    op.create_index(op.f("ix_review_resolutions_case_id"), "review_resolutions", ["case_id"], unique=False)
    op.create_index("ix_review_resolutions_newest", "review_resolutions", ["tenant", "created_at"], unique=False)


def _add_samples() -> None:
    op.create_table(
        "training_samples",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("decision_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("resolution_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("engine", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("of_photo", sa.Boolean(), nullable=False),
        sa.Column("binds", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_training_samples_job_id")),
        sa.ForeignKeyConstraint(["decision_id"], ["decisions.id"], name=op.f("fk_training_samples_decision_id")),
        sa.ForeignKeyConstraint(
            ["resolution_id"], ["review_resolutions.id"], name=op.f("fk_training_samples_resolution_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_samples")),
        sa.UniqueConstraint("seq", name=op.f("uq_training_samples_seq")),
    )
    op.create_index(op.f("ix_training_samples_resolution_id"), "training_samples", ["resolution_id"], unique=False)
    op.create_index("ix_training_samples_photo", "training_samples", ["tenant", "sha256"], unique=False)
    op.create_index("ix_training_samples_product", "training_samples", ["tenant", "product_id"], unique=False)


def downgrade() -> None:
    for table in ("golden_items", "review_drafts", "training_samples", "review_resolutions"):
        op.drop_table(table)
    op.execute("DELETE FROM review_cases WHERE kind <> 'flagged'")
    for index in ("appeal", "flagged"):
        op.drop_index(f"uq_review_cases_{index}", table_name="review_cases")
    for index in ("job", "photo", "queue"):
        op.drop_index(f"ix_review_cases_{index}", table_name="review_cases")
    op.drop_constraint(op.f("ck_review_cases_kind"), "review_cases", type_="check")
    op.drop_constraint(op.f("ck_review_cases_state"), "review_cases", type_="check")
    op.execute("UPDATE review_cases SET state = 'open' WHERE state NOT IN ('open', 'superseded')")
    op.create_check_constraint(op.f("ck_review_cases_state"), "review_cases", "state IN ('open','superseded')")
    op.create_unique_constraint(op.f("uq_review_cases_job_id"), "review_cases", ["job_id"])
    names = "kind about policy_code due_at due_slot label_value needs_lead excluded skipped holder lease_token"
    for name in [*names.split(), "lease_until", "hold_until", "reason", "stratum"]:
        op.drop_column("review_cases", name)
    op.create_index(
        "ix_review_cases_queue",
        "review_cases",
        ["tenant", sa.literal_column("severity DESC"), "created_at"],
        postgresql_where=sa.text("state = 'open'"),
    )
