"""``python -m pytest_mockstream convert``: recordings of other tools as our own.

Theory of operation: each tool has a module that reads its files and knows nothing of scripts, or makes scripts of what
it says. An exchange that was recorded goes through the same code as one that a door lets through to its provider, so
that it gets the same key, the same script, and loses the same secrets.
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
