"""The server door: the same scripts over a real socket.

It needs h11, which nothing outside this folder imports. h11, and not a server such as aiohttp's, because it knows the
protocol and leaves the socket to us, so that a fault can be made at any byte; because it is imported in a tenth of the
time; and because installing it changes nothing for the code under test: google-genai changes its transport as soon as
aiohttp is installed.
"""

try:
    import h11 as _h11  # noqa: F401 - asked for here so that its absence is explained once, for every way in
except ModuleNotFoundError as error:
    _msg = "the HTTP server needs h11, which is not installed: pip install 'pytest-mockstream[server]'"
    raise ModuleNotFoundError(_msg, name=error.name) from None

from .door import MockStreamServer

__all__ = ["MockStreamServer"]
