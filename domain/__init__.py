"""What things mean: standard library only, no I/O. The words, in the order data flows.

image job       what a shop enqueues: one photo of one product, with the seller's words (jobs.ImageJob)
submission      an accepted image job; the newest one per (tenant, product, image) wins
ledger          the SQL truth about jobs; a row's state says how far the photo has come (jobs.JobState)
lease           the right of one worker to change one row until a deadline; its token fences late holders (ports.Lease)
photo           the image after intake: upright, hashed, measured (photos.StoredPhoto)
plan            the set of Florence-2 tasks run for one image (observations.Plan)
observation     what the model saw, no opinion (observations.Observation)
signal          a number or label computed from an observation, from pixels or from the seller's words
policy, rule    what a shop allows (moderation.Policy, moderation.Rule)
finding         a rule that matched, with its evidence (moderation.Finding)
decision        a verdict (approve, review, reject) for each channel, with causes and receipt (moderation.Decision)
record          what Shelfguard says of a product: a fold over its current photos; each change is one revision (records)
review case     an item that a person has to decide
event, outbox   what the shop is told; written in the same transaction as the change (events)
adapter         always a LoRA
quarantine      where poison photos end; they can be replayed
"""
