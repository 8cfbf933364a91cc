"""What happened in a test, as data: lanes for its requests, tasks, threads and phases, and everything on them.

It knows no pytest, and changes nothing of what the code under test sees. Whoever runs tests tells it where each begins
and ends; a page that shows the data is made elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from .attempts import trace_of
from .happenings import Phase
from .recorder import Recorder

#: The JSON schema of a trace: what each field means, and which version this is.
SCHEMA = Path(__file__).with_name("schema.json")

__all__ = ["SCHEMA", "Phase", "Recorder", "trace_of"]
