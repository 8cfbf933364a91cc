"""Makes up log probabilities: each chunk of text counts as one token, and is the likeliest at its place.

The same text with the same seed has the same ones. It knows no provider; the shape of each token is OpenAI's:
https://platform.openai.com/docs/api-reference/chat/object#chat/object-choices.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from pytest_mockstream._base.redaction import brief

from .format import BadRequestError, Json

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_LIKELY = tuple(map(" {}".format, ("the", "a", "and", "of", "to", "in", "is", "it", "that", "for", "on", "with")))
_LIKELY += tuple(map(" {}".format, ("as", "was", "at", "by", "I", "you", "not", "be", "are")))
#: The most alternatives that a request can ask for: https://platform.openai.com/docs/api-reference/chat/create
MOST = 20


def top_of(body: Mapping[str, Any], name: str, *, most: int = MOST) -> int:
    """Return how many alternatives to each token a request asks for; 0 if it does not say.

    Raises:
        BadRequestError: it is no number from 0 to ``most``.
    """
    asked = body.get(name)
    if asked is None:
        return 0
    if isinstance(asked, bool) or not isinstance(asked, int) or not 0 <= asked <= most:
        raise BadRequestError(f"{name!r} must be a whole number from 0 to {most}, but it is {brief(asked)}")
    return asked


def probable(token: str, *, top: int, seed: int) -> Json:
    """Return a token with its log probability, and the likeliest tokens at its place, itself among them."""
    digest = hashlib.blake2b(f"{seed}/{token}".encode(errors="replace"), digest_size=8).digest()
    probability = 0.5 + digest[0] / 512  # below 1, and more than all others together
    others = [other for other in _LIKELY if other != token]
    first = digest[1] % len(others)
    likely = [_one(token, probability)]
    for other in (others[first:] + others[:first])[: max(top - 1, 0)]:
        part = (1 - probability) / 3
        probability += part
        likely.append(_one(other, part))
    return likely[0] | {"top_logprobs": likely[:top]}


def _one(token: str, probability: float) -> Json:
    return {
        "token": token,
        "logprob": round(math.log(probability), 9),
        "bytes": list(token.encode(errors="replace")),
    }
