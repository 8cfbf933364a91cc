"""Refused sockets are no leaks, and what waits for none is one."""

from __future__ import annotations

import socket

import pytest
from left import leave_thread
from pytest_socket import SocketBlockedError


def test_socket_is_refused() -> None:
    with pytest.raises(SocketBlockedError):
        socket.socket(socket.AF_INET)


def test_leaves_a_thread_and_a_refused_socket() -> None:
    leave_thread()
    with pytest.raises(SocketBlockedError):
        socket.socket(socket.AF_INET)


@pytest.mark.enable_socket
def test_socket_is_allowed() -> None:
    socket.socket(socket.AF_INET).close()
