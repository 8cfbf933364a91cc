"""The views of a Django project, sync and async."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from left import leave_task, leave_thread


async def hello(request: Any) -> HttpResponse:
    return HttpResponse("hello")


def sync_hello(request: Any) -> HttpResponse:
    return HttpResponse("sync")


async def pump(request: Any) -> HttpResponse:
    leave_task()
    return HttpResponse("hello")


def sync_pump(request: Any) -> HttpResponse:
    leave_thread()
    return HttpResponse("sync")


async def _words() -> AsyncIterator[str]:
    for word in ("one ", "two"):
        yield word


async def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(_words())


urlpatterns = [
    path("", hello),
    path("sync", sync_hello),
    path("pump", pump),
    path("sync-pump", sync_pump),
    path("stream", stream),
]
