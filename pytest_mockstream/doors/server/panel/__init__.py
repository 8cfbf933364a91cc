"""The server's own page: shows live what it plays and what happens, and takes commands.

It is for a person at a browser on the same machine; ``serve`` is the only one who switches it on.
"""

from __future__ import annotations

from .panel import Panel
from .script_text import ScriptText

__all__ = ["Panel", "ScriptText"]
