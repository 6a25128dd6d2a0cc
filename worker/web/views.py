"""The shapes of answers, for the API's documentation. Answers themselves come ready-made from the ledger's views."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class JobAccepted(BaseModel):
    job_id: str
    state: str


class Rejection(BaseModel):
    code: str
    message: str = Field(description="one sentence a seller can act on")


class JobSummary(BaseModel):
    job_id: str
    state: str = Field(description="RECEIVED, READY, OBSERVED, then DONE, REJECTED, QUARANTINED or SUPERSEDED")
    tenant: str
    product_id: str
    image_id: str
    version: int = Field(description="order among submissions of the same photo; the newest wins")
    accepted_at: datetime
    finished_at: datetime | None
    rejection: Rejection | None


class Decision(BaseModel):
    id: str
    verdict: str = Field(description="approve, review or reject: the worst of the channels'")
    channels: dict[str, str]
    findings: list[dict[str, Any]] = Field(description="rules that matched, with their evidence")
    receipt: dict[str, Any]
    decided_at: datetime


class JobView(JobSummary):
    record: dict[str, Any] | None = Field(description="the product's current record once the job is DONE")
    decision: Decision | None
    observation: dict[str, Any] | None = Field(description="what the model saw")


class DecisionView(Decision):
    job_id: str
    tenant: str
    product_id: str
    image_id: str
    shadow_findings: list[dict[str, Any]] = Field(description="matches of rules that are only being tried")


class JobPage(BaseModel):
    items: list[JobSummary]
    next_cursor: str | None


class ReviewCase(BaseModel):
    id: str
    state: str
    tenant: str
    product_id: str
    image_id: str
    job_id: str
    decision_id: str
    verdict: str
    severity: int
    kind: str = Field(description="flagged, appeal or lead")
    policy_code: str
    due_at: datetime
    channels: dict[str, str]
    findings: list[dict[str, Any]]
    created_at: datetime


class CasePage(BaseModel):
    items: list[ReviewCase]
    next_cursor: str | None


class TenantView(BaseModel):
    id: str
    name: str
    created_at: datetime
    disabled_at: datetime | None


class TokenView(BaseModel):
    id: str
    name: str
    role: str
    tenant: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    person: str | None = Field(description="id of whose it is")


class NewTokenView(TokenView):
    secret: str = Field(description="the bearer token; shown this once")


class WebhookView(BaseModel):
    id: str
    tenant: str
    url: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None


class NewWebhookView(WebhookView):
    secret: str = Field(description="verifies signatures (Standard Webhooks); shown this once")


class TenantList(BaseModel):
    items: list[TenantView]


class TokenList(BaseModel):
    items: list[TokenView]


class WebhookList(BaseModel):
    items: list[WebhookView]
