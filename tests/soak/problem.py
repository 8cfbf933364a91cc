"""``Failed``: what a round raises when something is not as it should be."""

from __future__ import annotations


class Failed(AssertionError):
    """Something is not as it should be; the message says what, and with what it can be seen again."""
