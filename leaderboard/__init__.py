"""Leaderboard and human-rating apps (not written yet)."""
