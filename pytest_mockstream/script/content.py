"""The steps with content: what the model says, as frozen values, each checked when it is made.

Theory of operation: each of them has ``says(chunking, calls)``, which returns what its chunks add to the reply, one by
one: a ``str`` for a chunk that has nothing but text, else the fields of the chunk. ``calls`` numbers the tool calls of
a script. What no field of a chunk can say, a chunk brings as its ``item``: the step itself.
"""

from __future__ import annotations

from typing import TypeAlias

from .combined import Interleave, Together
from .items import Citation, Frame, Image, ServerTool
from .parts import Reasoning, Refusal, Text, ToolCall

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Content: TypeAlias = (
    Text | Reasoning | Refusal | ToolCall | Interleave | Together | ServerTool | Citation | Image | Frame
)

CONTENT = (Text, Reasoning, Refusal, ToolCall, Interleave, Together, ServerTool, Citation, Image, Frame)
#: What not every format of a provider can say.
EXTRAS = (Interleave, Together, ServerTool, Citation, Image)
#: What a chunk brings as its ``item``.
Item: TypeAlias = Frame | ServerTool | Citation | Image | Reasoning


def with_parts(step: Content) -> tuple[Content, ...]:
    """Return a step, and the parts in it."""
    return (step, *step.parts) if isinstance(step, Interleave | Together) else (step,)
