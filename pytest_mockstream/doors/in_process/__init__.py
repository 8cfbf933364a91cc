"""The in-process door: the real SDKs are answered without a socket."""

from __future__ import annotations

from .sdk import MockStreamSDK

__all__ = ["MockStreamSDK"]
