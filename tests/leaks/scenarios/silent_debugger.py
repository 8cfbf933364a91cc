"""A debugger that never asks."""

from __future__ import annotations

import pdb
from typing import Any


class SilentDebugger(pdb.Pdb):
    """Goes on at once, whenever it is entered."""

    quitting = False

    def interaction(self, *args: Any, **kwargs: Any) -> None:
        """Go on."""

    def set_trace(self, *args: Any, **kwargs: Any) -> None:
        """Go on."""
