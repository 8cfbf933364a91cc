"""Vectors that depend on nothing but a text: the same on every machine, and close to each other if texts share words.

Each word of a text adds to two components of its vector.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from operator import mul

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_WORD = re.compile(r"\w+")
_COMPARED = 1024


def vector_of(text: str, dimensions: int) -> list[float]:
    """Return the vector of a text, normalised to length 1."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        digest = hashlib.blake2b(word.encode(errors="replace"), digest_size=16).digest()
        first, second = struct.unpack("<QQ", digest)
        vector[first % dimensions] += 1.0
        vector[second % dimensions] += 0.5
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def similarity(one: str, other: str) -> float:
    """Return how close two texts are, from 0 to 1: the cosine of their vectors."""
    products = map(mul, vector_of(one, _COMPARED), vector_of(other, _COMPARED))
    return min(1.0, math.fsum(products))
