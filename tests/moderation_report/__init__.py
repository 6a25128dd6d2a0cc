"""Precision and recall of rule families on photos with overlays: REPORT.md, written by `make moderation-report`."""
