"""The table of what libraries do in the background, which no code under test asks for.

Most of it is uploads: traces and usage statistics. Google's libraries ask for an access token, and get one.

Such a request is no request of a test. It comes from a thread of its library, often some seconds late and in another
test, and is answered with what makes the library content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What one library uploads.

    Attributes:
        name: what it is, for people.
        path: matches the end of the path.
        hosts: hosts, and endings of hosts, that it goes to; none for any, where the path alone says what it is.
        status: of the answer.
        content_type: of the answer.
        body: of the answer.
    """

    name: str
    path: re.Pattern[str]
    hosts: tuple[str, ...] = ()
    status: int = 200
    content_type: str = _JSON
    body: bytes = b"{}"


_ANY = re.compile("")

#: Checked against openai-agents 0.24 (``agents/tracing/processors.py``) and Agno 3.1 (``agno/api/routes.py``); the
#: others by their documentation:
#: https://opentelemetry.io/docs/specs/otlp/#otlphttp, https://api.smith.langchain.com/redoc,
#: https://api.reference.langfuse.com, https://posthog.com/docs/api, https://develop.sentry.dev/sdk/data-model/envelopes/
UPLOADS = (
    Upload(name="traces of openai-agents", path=re.compile(r"/traces/ingest$"), status=204, body=b""),
    Upload(
        name="new tokens for the fake credentials of Google",  # those that the server lends
        path=re.compile(r"/google-access-token$"),
        body=b'{"access_token":"mockstream-fake-key","expires_in":3600,"token_type":"Bearer"}',
    ),
    Upload(
        name="OpenTelemetry",
        path=re.compile(r"/v1/(?:traces|metrics|logs)$"),
        content_type="application/x-protobuf",
        body=b"",  # an ExportTraceServiceResponse in which everything was accepted
    ),
    Upload(name="LangSmith", path=_ANY, hosts=(".smith.langchain.com",), status=202),
    Upload(
        name="Langfuse",
        path=re.compile(r"/api/public/ingestion$"),
        status=207,
        body=b'{"successes":[],"errors":[]}',
    ),
    Upload(
        name="Logfire",
        path=_ANY,
        hosts=("logfire-api.pydantic.dev", "logfire-us.pydantic.dev", "logfire-eu.pydantic.dev"),
    ),
    Upload(name="PostHog", path=_ANY, hosts=(".posthog.com",)),
    Upload(name="Sentry", path=re.compile(r"/(?:envelope|store)/?$"), hosts=(".sentry.io",)),
    Upload(
        name="huggingface_hub's telemetry",
        path=re.compile(r"/api/(?:telemetry/.*|agent-harnesses)$"),
        hosts=("huggingface.co",),
    ),
    # https://developers.google.com/identity/protocols/oauth2/service-account#httprest
    Upload(
        name="Google's access tokens",
        path=re.compile(r"^/token$"),
        hosts=("oauth2.googleapis.com", "accounts.google.com"),
        body=b'{"access_token":"mockstream-fake-key","expires_in":3600,"token_type":"Bearer"}',
    ),
    Upload(name="Agno's telemetry", path=re.compile(r"/telemetry/\w+$"), hosts=("os-api.agno.com",)),
)


def upload_to(host: str, path: str) -> Upload | None:
    """Return what a request to this place uploads, or None if it is a request like any other."""
    host = host.lower().rstrip(".")
    for upload in UPLOADS:
        if upload.path.search(path) and (not upload.hosts or any(_is_at(host, known) for known in upload.hosts)):
            return upload
    return None


def _is_at(host: str, known: str) -> bool:
    return host == known or (known.startswith(".") and host.endswith(known))
