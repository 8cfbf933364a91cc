"""Time: plays a schedule into a bounded buffer against a clock, for a reader in a thread or in an event loop."""

from __future__ import annotations

from .channel import End, Ending
from .controlled import ControlledPlayback
from .playback import Playback

__all__ = ["ControlledPlayback", "End", "Ending", "Playback"]
