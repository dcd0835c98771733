"""Kills at every point, and an oracle that says whether a promise was broken."""
