"""Rehearsing rules on photos of the past: backtests of a policy, figures of shadow rules, and the reports of both."""
