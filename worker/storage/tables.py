"""SQLAlchemy tables. Migrations in migrations/versions are made from these and checked against them by a test."""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

# Names by pattern, so that migrations can name what they drop.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[object]:
    return Column("id", UUID(as_uuid=False), primary_key=True, server_default=text("gen_random_uuid()"))


def _created() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    _created(),
    Column("disabled_at", DateTime(timezone=True)),
)

tokens = Table(
    "tokens",
    metadata,
    _id(),
    # NULL = every tenant; only roles admin and ml may have that.
    Column("tenant", Text, ForeignKey("tenants.id")),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    # sha256 of 32 random bytes: nothing to guess, so no slow hash is needed.
    Column("digest", LargeBinary, nullable=False, unique=True),
    _created(),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    # Whose it is; the person it counts as where two have to agree.
    Column("person_id", UUID(as_uuid=False), ForeignKey("persons.id")),
    # Who made it; a token without a person of its own counts as that person's.
    Column("made_by", UUID(as_uuid=False), ForeignKey("persons.id")),
    Column("last_used_at", DateTime(timezone=True)),
    CheckConstraint("role IN ('submitter','reviewer','lead','ml','admin')", name="role"),
)

persons = Table(
    "persons",
    metadata,
    _id(),
    Column("login", Text, nullable=False, unique=True),  # e-mail address, lower case
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("tenants", ARRAY(Text)),  # NULL = every tenant
    Column("password_hash", Text),  # argon2id; NULL until one is chosen
    _created(),
    Column("disabled_at", DateTime(timezone=True)),
    CheckConstraint("role IN ('reviewer','lead','ml','admin')", name="role"),
)

# Of invitations and sessions only the sha256 is kept: 32 random bytes cannot be guessed.
person_invitations = Table(
    "person_invitations",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("person_id", UUID(as_uuid=False), ForeignKey("persons.id"), nullable=False, index=True),
    _created(),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

person_sessions = Table(
    "person_sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("person_id", UUID(as_uuid=False), ForeignKey("persons.id"), nullable=False, index=True),
    _created(),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

# Tries to log in, by account and by address; old ones go when new ones come.
login_tries = Table(
    "login_tries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subject", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_login_tries_subject", "subject", "at"),
)

# Rows are only ever added (a trigger sees to it), and each holds the hash of the one before it (domain/audit.py).
audit_log = Table(
    "audit_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("tenant", Text),
    Column("data", JSONB, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    CheckConstraint("actor_kind IN ('person','token','system')", name="actor_kind"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    _id(),
    Column("tenant", Text, ForeignKey("tenants.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret_encrypted", LargeBinary, nullable=False),
    _created(),
    Column("disabled_at", DateTime(timezone=True)),
    Column("disabled_reason", Text),
)

products = Table(
    "products",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.id"), primary_key=True),
    Column("product_id", Text, primary_key=True),
    # The highest version any submission of this product has had; the next unversioned one gets this plus one.
    Column("last_version", BigInteger, nullable=False, server_default=text("0")),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    Column("record", JSONB),
    Column("record_key", Text),
    _created(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    Column("tenant", Text, ForeignKey("tenants.id"), nullable=False),
    Column("product_id", Text, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("body_digest", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("lease_token", UUID(as_uuid=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("lease_size", SmallInteger),
    # After its worker died or an error came up inside a batch, a row runs alone so that blame is certain.
    Column("alone", Boolean, nullable=False, server_default=text("false")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("deaths", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("deferrals", Integer, nullable=False, server_default=text("0")),
    Column("not_before", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("photo", JSONB),
    Column("code", Text),
    Column("message", Text),
    Column("last_error", Text),
    Column("accepted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("tenant", "idempotency_key"),
    CheckConstraint(
        "state IN ('RECEIVED','READY','OBSERVED','DONE','REJECTED','QUARANTINED','SUPERSEDED')", name="state"
    ),
)
Index(
    "ix_jobs_waiting",
    jobs.c.state,
    jobs.c.priority,
    jobs.c.accepted_at,
    postgresql_where=jobs.c.state.in_(["RECEIVED", "READY", "OBSERVED"]),
)
Index("ix_jobs_leased", jobs.c.lease_until, postgresql_where=jobs.c.lease_until.is_not(None))
Index("ix_jobs_product", jobs.c.tenant, jobs.c.product_id)
Index("ix_jobs_newest", jobs.c.tenant, jobs.c.accepted_at.desc(), jobs.c.id.desc())  # lists of jobs, page by page

photos = Table(
    "photos",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("image_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("job_id", UUID(as_uuid=False), ForeignKey("jobs.id"), nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("entry", JSONB, nullable=False),
)

observations = Table(
    "observations",
    metadata,
    Column("job_id", UUID(as_uuid=False), ForeignKey("jobs.id"), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("plan_digest", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    _created(),
    Index("ix_observations_photo", "tenant", "sha256"),
)

# No foreign keys: rows outlive the jobs that made them, and go when the photo is forgotten.
observation_cache = Table(
    "observation_cache",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("engine_digest", Text, primary_key=True),
    Column("plan_digest", Text, primary_key=True),
    Column("model_copy_key", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    _created(),
)

decisions = Table(
    "decisions",
    metadata,
    _id(),
    Column("job_id", UUID(as_uuid=False), ForeignKey("jobs.id"), nullable=False, index=True),
    Column("tenant", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    # The annotated picture, once somebody has asked for it.
    Column("annotated_key", Text),
    _created(),
    CheckConstraint("verdict IN ('approve','review','reject')", name="verdict"),
    Index("ix_decisions_newest", "created_at", "id"),  # judged again newest first, page by page
)

record_revisions = Table(
    "record_revisions",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("job_id", UUID(as_uuid=False), ForeignKey("jobs.id"), nullable=False),
    Column("record", JSONB, nullable=False),
    Column("record_key", Text, nullable=False),
    _created(),
)

review_cases = Table(
    "review_cases",
    metadata,
    _id(),
    Column("tenant", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("job_id", UUID(as_uuid=False), ForeignKey("jobs.id"), nullable=False),
    Column("decision_id", UUID(as_uuid=False), ForeignKey("decisions.id"), nullable=False),
    Column("verdict", Text, nullable=False),
    Column("severity", SmallInteger, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    _created(),
    Column("kind", Text, nullable=False, server_default=text("'flagged'")),
    # The case that this one is a second look at, or the golden item that it repeats.
    Column("about", UUID(as_uuid=False)),
    Column("policy_code", Text, nullable=False, server_default=text("''")),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("due_slot", BigInteger, nullable=False, server_default=text("0")),
    Column("label_value", REAL, nullable=False, server_default=text("0")),
    Column("needs_lead", Boolean, nullable=False, server_default=text("false")),
    # People who must not decide it, and people who would rather not.
    Column("excluded", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("skipped", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("holder", Text),
    Column("lease_token", UUID(as_uuid=False)),
    Column("lease_until", DateTime(timezone=True)),
    Column("hold_until", DateTime(timezone=True)),
    Column("reason", Text),  # of the seller who appeals, or of the reviewer who holds it
    Column("stratum", JSONB),  # of an audit: rule and adapter
    CheckConstraint("state IN ('open','escalated','held','upheld','overturned','superseded')", name="state"),
    CheckConstraint("kind IN ('flagged','appeal','blind','lead','golden','audit')", name="kind"),
    Index("ix_review_cases_photo", "tenant", "product_id", "image_id"),
)
Index(
    "ix_review_cases_queue",
    review_cases.c.tenant,
    review_cases.c.severity.desc(),
    review_cases.c.due_slot,
    review_cases.c.label_value.desc(),
    review_cases.c.id,
    postgresql_where=review_cases.c.state.in_(["open", "escalated", "held"]),
)
# One case for each look at a photo; second looks at the case are others.
Index("uq_review_cases_flagged", review_cases.c.job_id, unique=True, postgresql_where=review_cases.c.kind == "flagged")
Index("ix_review_cases_job", review_cases.c.job_id)
Index(
    "uq_review_cases_appeal",
    review_cases.c.about,
    unique=True,
    postgresql_where=(review_cases.c.kind == "appeal") & review_cases.c.state.in_(["open", "escalated", "held"]),
)

# Every word of a person on a case, in order. What was undone or reopened stays, marked.
review_resolutions = Table(
    "review_resolutions",
    metadata,
    _id(),
    Column("seq", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("case_id", UUID(as_uuid=False), ForeignKey("review_cases.id"), nullable=False, index=True),
    Column("tenant", Text, nullable=False),
    # Copied, not referred to: history says who it was whatever becomes of the account.
    Column("person_id", Text, nullable=False),
    Column("person_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("policy_code", Text),
    Column("note", Text, nullable=False),
    Column("state_before", Text, nullable=False),
    Column("decision_before", UUID(as_uuid=False), nullable=False),
    Column("decision_after", UUID(as_uuid=False)),  # NULL = no record was changed
    Column("event_id", UUID(as_uuid=False)),
    Column("bulk_id", UUID(as_uuid=False)),
    Column("idempotency_key", Text),
    Column("body_digest", Text, nullable=False),
    _created(),
    Column("undo_until", DateTime(timezone=True), nullable=False),
    Column("undone_at", DateTime(timezone=True)),
    Column("reopened_by", Text),
    UniqueConstraint("person_id", "idempotency_key"),
    CheckConstraint("action IN ('uphold','overturn','escalate','hold')", name="action"),
    Index("ix_review_resolutions_newest", "tenant", "created_at"),
)

# What people teach: their verdicts and corrections with lineage. A correction that `binds` stands in the record.
training_samples = Table(
    "training_samples",
    metadata,
    _id(),
    Column("seq", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("job_id", UUID(as_uuid=False), ForeignKey("jobs.id"), nullable=False),  # names the observation too
    Column("decision_id", UUID(as_uuid=False), ForeignKey("decisions.id"), nullable=False),
    Column("resolution_id", UUID(as_uuid=False), ForeignKey("review_resolutions.id"), nullable=False, index=True),
    Column("field", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=text("''")),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("engine", JSONB, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("of_photo", Boolean, nullable=False),
    Column("binds", Boolean, nullable=False),
    _created(),
    Column("withdrawn_at", DateTime(timezone=True)),
    Index("ix_training_samples_photo", "tenant", "sha256"),
    Index("ix_training_samples_product", "tenant", "product_id"),
)

review_drafts = Table(
    "review_drafts",
    metadata,
    Column("case_id", UUID(as_uuid=False), ForeignKey("review_cases.id"), primary_key=True),
    Column("person_id", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

golden_items = Table(
    "golden_items",
    metadata,
    _id(),
    Column("tenant", Text, nullable=False, index=True),
    Column("case_id", UUID(as_uuid=False), ForeignKey("review_cases.id"), nullable=False, unique=True),
    Column("answer", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    _created(),
    Column("retired_at", DateTime(timezone=True)),
    CheckConstraint("answer IN ('uphold','overturn')", name="answer"),
)

outbox = Table(
    "outbox",
    metadata,
    _id(),  # the webhook-id: one for each effect, the same in every retransmission
    Column("seq", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    _created(),
    Index("ix_outbox_product", "tenant", "product_id", "seq"),  # a product's events go out in this order
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", UUID(as_uuid=False), ForeignKey("outbox.id"), primary_key=True),
    Column("endpoint_id", UUID(as_uuid=False), ForeignKey("webhook_endpoints.id"), primary_key=True),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("lease_token", UUID(as_uuid=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('pending','delivered','dropped','failed')", name="state"),
)
# By endpoint: each gets its turn, however many deliveries wait for another.
Index(
    "ix_deliveries_due",
    deliveries.c.endpoint_id,
    deliveries.c.next_at,
    postgresql_where=deliveries.c.state == "pending",
)

hash_banks = Table(
    "hash_banks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("tenant", Text, ForeignKey("tenants.id")),  # NULL = for every tenant
    Column("kind", Text, nullable=False),
    Column("threshold", SmallInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("set_aside", Text),  # why; an operator releases it
    _created(),
    CheckConstraint("kind IN ('block','allow')", name="kind"),
    CheckConstraint("threshold BETWEEN 0 AND 63", name="threshold"),
)

bank_entries = Table(
    "bank_entries",
    metadata,
    _id(),
    Column("bank", Text, ForeignKey("hash_banks.name"), nullable=False),
    Column("pdq", Text, nullable=False),
    Column("threshold", SmallInteger),  # NULL = the bank's
    Column("note", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    _created(),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("revoked_at", DateTime(timezone=True)),
    Column("revoked_by", Text),
    Column("set_aside", Text),
    UniqueConstraint("bank", "pdq"),
    CheckConstraint("pdq ~ '^[0-9a-f]{64}$'", name="pdq"),
    CheckConstraint("threshold BETWEEN 0 AND 63", name="threshold"),
)

# One row that every change of a bank counts up, so that a worker sees at one glance whether it has to read anew.
bank_version = Table(
    "bank_version",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("single", name="single"),
)

bank_matches = Table(
    "bank_matches",
    metadata,
    Column("entry_id", UUID(as_uuid=False), ForeignKey("bank_entries.id"), primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("matches", Integer, nullable=False),
)

# What photos look like, to find those that look alike. `chunks` holds the hash's sixteen pieces of 16 bits, each with
# its place and the tenant: hashes that differ in 15 bits at most share one, by the pigeonhole principle.
photo_hashes = Table(
    "photo_hashes",
    metadata,
    Column("job_id", UUID(as_uuid=False), ForeignKey("jobs.id"), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("pdq", Text, nullable=False),
    Column("chunks", ARRAY(BigInteger), nullable=False),
    Index("ix_photo_hashes_chunks", "chunks", postgresql_using="gin"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _id(),
    Column("task", Text, nullable=False),
    Column("task_id", Text),
    Column("payload", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    _created(),
)

# Every policy that ever judged, whole: published ones and what is shipped. Rows never change (a trigger sees to it).
policy_versions = Table(
    "policy_versions",
    metadata,
    Column("version", Text, primary_key=True),
    Column("policy", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("files", JSONB, nullable=False),
    _created(),
)

policy_proposals = Table(
    "policy_proposals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("version", Text, ForeignKey("policy_versions.version"), nullable=False),
    Column("tenant", Text, ForeignKey("tenants.id")),
    Column("base", Text),
    # Copied, not referred to: history says who it was whatever becomes of the token.
    Column("author_id", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("redecide", JSONB),
    _created(),
)

# What is live is the last row of a scope. Rows are only ever added (a trigger sees to it).
policy_publications = Table(
    "policy_publications",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("version", Text, ForeignKey("policy_versions.version")),
    Column("tenant", Text, ForeignKey("tenants.id")),
    Column("author_id", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("second_id", Text),
    Column("second_name", Text),
    Column("reason", Text),
    Column("note", Text, nullable=False),
    Column("restores", BigInteger, ForeignKey("policy_publications.number")),
    Column("proposal", BigInteger, ForeignKey("policy_proposals.id"), unique=True),
    _created(),
    CheckConstraint("kind IN ('publish','rollback')", name="kind"),
    CheckConstraint("second_id IS NOT NULL OR reason IS NOT NULL", name="second_or_reason"),
    Index("ix_policy_publications_scope", "tenant", "number"),
)

# Judging again: one row for each time somebody or a date asked for it. The cursor walks from the newest decision back.
policy_redecisions = Table(
    "policy_redecisions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("cause", Text, nullable=False),
    Column("scope", JSONB, nullable=False),
    Column("asked_by", Text, nullable=False),
    # One for each rule, date and publication; NULL where a person asked.
    Column("boundary", Text, unique=True),
    # Only decisions made before this moment are affected; NULL = all.
    Column("decided_before", DateTime(timezone=True)),
    Column("not_before", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("cursor_at", DateTime(timezone=True)),
    Column("cursor_id", UUID(as_uuid=False)),
    Column("judged", BigInteger, nullable=False, server_default=text("0")),
    Column("changed", BigInteger, nullable=False, server_default=text("0")),
    Column("kept", BigInteger, nullable=False, server_default=text("0")),
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
    _created(),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("cause IN ('publish','rollback','asked','boundary')", name="cause"),
)
Index(
    "ix_policy_redecisions_open",
    policy_redecisions.c.id,
    postgresql_where=policy_redecisions.c.finished_at.is_(None),
)

# What somebody has to look at: a version that does not load, a cap that was reached, a rule that matches unlike itself.
policy_alarms = Table(
    "policy_alarms",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("tenant", Text),
    Column("rule", Text),
    Column("version", Text),
    Column("message", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("times", BigInteger, nullable=False, server_default=text("1")),
    _created(),
    Column("last_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_policy_alarms_last", "last_at"),
)

# Automatic rejections by rules that have a daily cap: one row for each photo that took a place.
rule_rejections = Table(
    "rule_rejections",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("subject", Text, primary_key=True),
)

# In how many photos each rule matched, by hour; a rule of "" counts all photos that were judged.
match_hours = Table(
    "match_hours",
    metadata,
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("rule_version", Integer, primary_key=True, autoincrement=False),
    Column("photos", BigInteger, nullable=False),
)

# What another model said about a photo, by tenant and whole request. No foreign keys, as with observation_cache.
opinion_cache = Table(
    "opinion_cache",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("data", JSONB, nullable=False),
    _created(),
)

# What a tenant spent on second opinions in a day (UTC), with what is reserved for calls under way.
opinion_spending = Table(
    "opinion_spending",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("milliseconds", BigInteger, nullable=False),
)
