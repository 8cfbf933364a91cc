"""What is said of a path that no wire format knows."""

from __future__ import annotations

from difflib import get_close_matches

from pytest_mockstream.wire import ENDPOINTS, WireFormat, provider_of

_SUPPORTED = "Supported are chats and text generation, embeddings, lists of models, and counting tokens"
#: By a segment of the path: https://platform.openai.com/docs/api-reference, https://docs.anthropic.com/en/api and
#: https://ai.google.dev/api have these endpoints, too.
_UNSUPPORTED = {
    "assistants": "assistants are",
    "audio": "audio is",
    "batches": "batches are",
    "cachedcontents": "cached contents are",
    "completions": "the old text completions are",
    "conversations": "conversations are",
    "evals": "evals are",
    "files": "files are",
    "fine_tuning": "fine-tuning is",
    "images": "images are",
    "moderations": "moderations are",
    "realtime": "realtime sessions are",
    "rerank": "reranking is",
    "threads": "threads are",
    "tunedmodels": "tuned models are",
    "uploads": "uploads are",
    "vector_stores": "vector stores are",
    "videos": "videos are",
}
_NEAREST = 3


def unknown_path(path: str, host: str) -> str:
    """Say that a path is not known, what is supported, and which known paths are meant most likely.

    Args:
        path: of the URL.
        host: of the URL; where it is a provider's, that provider's paths are listed.
    """
    segments = path.lower().replace(":", "/").split("/")
    kind = next((f"; {said} not" for segment in segments if (said := _UNSUPPORTED.get(segment))), "")
    return f"nothing is known of this path.\n  {_SUPPORTED}{kind}.\n  {_known(path, host)}."


def _known(path: str, host: str) -> str:
    provider = provider_of(host)
    of_provider = [endpoint.shown for endpoint in ENDPOINTS if endpoint.provider == provider]
    if of_provider:
        return f"Known of {provider}: {', '.join(of_provider)}"
    by_path = {endpoint.shown.partition("…")[2]: endpoint.shown for endpoint in ENDPOINTS}
    near = [by_path[one] for one in get_close_matches(path, by_path, n=_NEAREST, cutoff=0.75)]
    known = near or [endpoint.shown for endpoint in ENDPOINTS if isinstance(endpoint, WireFormat)]
    return f"{'Near to it are' if near else 'Known are'}, at any host and behind any prefix: {', '.join(known)}"
