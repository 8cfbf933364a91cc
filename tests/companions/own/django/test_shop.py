"""A Django project: views of both kinds, from tests of both kinds, with a database and a live server."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, TestCase
from left import leave_thread

asynchronous = pytest.mark.asyncio


@asynchronous
async def test_async_view() -> None:
    assert (await AsyncClient().get("/")).content == b"hello"


@asynchronous
async def test_sync_view_from_a_coroutine() -> None:
    assert (await AsyncClient().get("/sync")).content == b"sync"


def test_async_view_from_a_function(client: Any) -> None:
    assert client.get("/").content == b"hello"


@asynchronous
async def test_stream() -> None:
    response = await AsyncClient().get("/stream")
    assert b"".join([part async for part in response]) == b"one two"


@asynchronous
async def test_leaves_a_task_of_a_view() -> None:
    await AsyncClient().get("/pump")


@asynchronous
async def test_leaves_a_thread_of_a_sync_view() -> None:
    await AsyncClient().get("/sync-pump")


def test_leaves_a_thread_of_a_view(client: Any) -> None:
    client.get("/sync-pump")


@asynchronous
@pytest.mark.django_db(transaction=True)
async def test_database_from_a_coroutine() -> None:
    await User.objects.acreate(username="ada")
    assert await User.objects.acount() == 1


@asynchronous
@pytest.mark.django_db(transaction=True)
async def test_leaves_a_task_after_a_query() -> None:
    await User.objects.acount()
    await AsyncClient().get("/pump")


@pytest.mark.django_db
def test_database() -> None:
    User.objects.create(username="ada")


class TestShop(TestCase):
    async def test_async_view(self) -> None:
        assert (await self.async_client.get("/")).content == b"hello"

    def test_sync_view(self) -> None:
        assert self.client.get("/sync").content == b"sync"

    async def test_leaves_a_task_of_a_view(self) -> None:
        await self.async_client.get("/pump")


@pytest.mark.django_db(transaction=True)
def test_live_server(live_server: Any) -> None:
    with urllib.request.urlopen(f"{live_server.url}/sync") as response:
        assert response.read() == b"sync"


@pytest.mark.django_db(transaction=True)
def test_live_server_again(live_server: Any) -> None:
    with urllib.request.urlopen(f"{live_server.url}/") as response:
        assert response.read() == b"hello"


@pytest.mark.django_db(transaction=True)
def test_leaves_a_thread_beside_a_live_server(live_server: Any) -> None:
    with urllib.request.urlopen(f"{live_server.url}/sync") as response:
        response.read()
    leave_thread()
