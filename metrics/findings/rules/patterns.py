"""Writing long regular expressions as lists of phrases."""

from __future__ import annotations


def either(*phrases: str) -> str:
    """A non-capturing group of alternatives, from texts that list them with ``", "`` between."""
    return f"(?:{'|'.join(p for text in phrases for p in ' '.join(text.split()).strip(', ').split(', '))})"
