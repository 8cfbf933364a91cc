"""The HTTP door: the same scripts over a real socket.

The wall: h11 is the one library that this package needs beyond pytest's own, and nothing else of ours imports it.

Why h11, and not a server such as aiohttp's: it knows the protocol and leaves the socket to us, so every fault can be
made at the very byte; it is imported in a tenth of the time; and it changes nothing for the code under test, where
aiohttp does: google-genai takes another transport as soon as it is installed.
"""

try:
    import h11 as _h11  # noqa: F401 - asked for here so that its absence is explained once, for every way in
except ModuleNotFoundError as error:
    _msg = "the HTTP server needs h11, which is not installed: pip install 'pytest-mockstream[server]'"
    raise ModuleNotFoundError(_msg, name=error.name) from None

from .door import MockStreamServer

__all__ = ["MockStreamServer"]
