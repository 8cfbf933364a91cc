"""The settings that all doors share."""

from __future__ import annotations

from typing import Literal, TypeAlias

Producer: TypeAlias = Literal["inline", "background"]

DEFAULT_BUFFER_SIZE = 100
