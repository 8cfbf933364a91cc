"""Recordings: a real conversation as scripts, which one can read, change, break and play."""

from __future__ import annotations

from .joined import joined
from .matching import checked_match
from .mistakes import mistakes_in
from .recording import RecordedReply, Recording
from .scrub import Scrubber
from .tape import MODES, Mode, Tape, is_failure

__all__ = [
    "MODES",
    "Mode",
    "RecordedReply",
    "Recording",
    "Scrubber",
    "Tape",
    "checked_match",
    "is_failure",
    "joined",
    "mistakes_in",
]
