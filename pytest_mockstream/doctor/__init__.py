"""``python -m pytest_mockstream doctor``: what works here, what does not, and what to do about it.

Everything is tried, nothing is taken from a list of promises: the doors are opened, the leak check is shown a leak, and
frames are given to the models of the SDKs that are installed. SDKs are looked up by name, at run time, here only.
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
