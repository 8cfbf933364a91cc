"""A schedule in time: the producer, the buffer in front of it, and who drives it."""

from __future__ import annotations

from .line import End, Ending, Line
from .playback import Playback

__all__ = ["End", "Ending", "Line", "Playback"]
