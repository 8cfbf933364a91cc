"""What is said of a path that nothing is known of: of a request, or of a script that is meant for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from pytest_mockstream._base.wording import counted
from pytest_mockstream.playbook.queued import fits_path, method_and_path
from pytest_mockstream.wire import ENDPOINTS, PlainEndpoint, WireFormat, is_path, provider_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_SUPPORTED = (
    "Supported are chats and text generation, embeddings, reranking, images, speech and transcriptions, moderations,"
    " files, batches, vector stores, conversations, caches, lists of models, and counting tokens"
)
_RETIRED = "assistants and threads are not, as OpenAI retires them: use responses"
#: By a segment of the path: https://platform.openai.com/docs/api-reference, https://docs.anthropic.com/en/api,
#: https://ai.google.dev/api and https://elevenlabs.io/docs/api-reference have these endpoints, too.
_UNSUPPORTED = {
    "assistants": _RETIRED,
    "threads": _RETIRED,
    "containers": "containers are not",
    "evals": "evals are not",
    "fine_tuning": "fine-tuning is not",
    "organization": "the administration of organizations is not",
    "realtime": "realtime sessions are not",
    "skills": "skills are not",
    "speech-to-speech": "ElevenLabs is not",
    "text-to-speech": "ElevenLabs is not",
    "tunedmodels": "tuned models are not",
    "videos": "videos are not",
    "workflows": "workflows are not",
}
_NEAREST = 3


def unknown_path(path: str, host: str) -> str:
    """Say that a path is not known, what is supported, and which known paths are meant most likely.

    Args:
        path: of the URL.
        host: of the URL; where it is a provider's, that provider's paths are listed.
    """
    segments = path.lower().replace(":", "/").split("/")
    kind = next((f"; {said}" for segment in segments if (said := _UNSUPPORTED.get(segment))), "")
    return f"nothing is known of this path.\n  {_SUPPORTED}{kind}.\n  {_known(path, host)}."


def wrong_path(path: str) -> str | None:
    """Say why no request can have a path that ends so; None if one can."""
    method, end = method_and_path(path)
    if is_path("/" + end.strip("/").replace("*", "x"), method):
        return None
    if any(fits_path(path, _path(one), one.method) for one in ENDPOINTS):
        return None
    near = _near(end, ENDPOINTS)
    return f"nothing is known of this path. {f'Near to it are {_listed(near)}' if near else f'Known are {_formats()}'}"


def _known(path: str, host: str) -> str:
    provider = provider_of(host)
    if of_provider := [endpoint for endpoint in ENDPOINTS if endpoint.provider == provider]:
        near = _near(path, of_provider)
        shown = (
            near or [endpoint for endpoint in of_provider if isinstance(endpoint, WireFormat)] or of_provider[:_NEAREST]
        )
        more = len(of_provider) - len(shown)
        return f"{'Near to it' if near else 'Known'} of {provider}: {_listed(shown)}" + (
            f", and {counted(more, 'path')} more" if more else ""
        )
    if near := _near(path, ENDPOINTS):
        return f"Near to it are, at any host and behind any prefix: {_listed(near)}"
    return f"Known are, at any host and behind any prefix: {_formats()}"


def _near(path: str, endpoints: Sequence[WireFormat | PlainEndpoint]) -> list[WireFormat | PlainEndpoint]:
    near = get_close_matches(path, {_path(one): None for one in endpoints}, n=_NEAREST, cutoff=0.8)
    return [one for found in near for one in endpoints if _path(one) == found]


def _path(endpoint: WireFormat | PlainEndpoint) -> str:
    return endpoint.shown.partition("…")[2]


def _listed(endpoints: Iterable[WireFormat | PlainEndpoint]) -> str:
    return ", ".join(dict.fromkeys(endpoint.shown for endpoint in endpoints))


def _formats() -> str:
    formats = [endpoint for endpoint in ENDPOINTS if isinstance(endpoint, WireFormat)]
    return f"{_listed(formats)}, and {counted(len(ENDPOINTS) - len(formats), 'path')} more"
