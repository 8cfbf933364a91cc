"""The HTTP door: the same scripts over a real socket.

The wall: h11 is the one library that this package needs beyond pytest's own, and nothing else of ours imports it.
"""

from ._door import MockStreamServer

__all__ = ["MockStreamServer"]
