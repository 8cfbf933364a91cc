"""The HTTP door: the same scripts over a real socket.

The wall: h11 is the one library that this package needs beyond pytest's own, and nothing else of ours imports it.
"""

try:
    import h11 as _h11  # noqa: F401 - asked for here so that its absence is explained once, for every way in
except ModuleNotFoundError as error:
    _msg = "the HTTP server needs h11, which is not installed: pip install 'pytest-mockstream[server]'"
    raise ModuleNotFoundError(_msg, name=error.name) from None

from ._door import MockStreamServer

__all__ = ["MockStreamServer"]
