"""The client door: a streaming LLM client that is handed to the code under test."""

from __future__ import annotations

from .client import MockStreamClient
from .stream import MockStream

__all__ = ["MockStream", "MockStreamClient"]
