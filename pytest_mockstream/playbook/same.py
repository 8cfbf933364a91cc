"""Which requests ask the same: what tells a retry from another question.

It looks at what was asked, and knows no wire format and no scripts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .request import Request

#: What may differ between two requests that ask the same: how the answer is to be sent, and whom or what it is filed
#: under. A retry that no longer streams, or that has a new id, is a retry all the same.
_VOLATILE = frozenset(
    {
        *("stream", "stream_options", "streaming", "timeout"),
        *("user", "metadata", "safety_identifier", "prompt_cache_key", "request_id", "store"),
    }
)


def sameness(request: Request) -> Hashable:
    """Return a value that is equal for two requests exactly if they ask the same.

    They ask the same if provider, model, messages, tools and all parameters are equal but for those that say how the
    answer is sent, or under which name it is filed. The path counts only where there are no messages: that of a stream
    may differ from that of a whole answer.
    """
    params = {name: value for name, value in request.params.items() if name not in _VOLATILE}
    path = "" if request.messages else request.path
    return _frozen([request.provider, path, request.model, request.messages, request.tools, params])


def _frozen(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return frozenset((str(name), _frozen(one)) for name, one in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, bool):
        return ("bool", value)  # or True would be 1
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value  # type: ignore[no-any-return] # it has a hash
