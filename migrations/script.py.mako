"""${message}

Locks: migrations run while workers do. Add columns without a volatile default; create indexes CONCURRENTLY (in an
autocommit block); add constraints NOT VALID and validate them in a later revision; never rewrite a large table. A lock
that is not had within 5 seconds fails the migration, and it can be run again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
