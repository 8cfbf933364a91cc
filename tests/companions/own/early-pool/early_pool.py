"""A pytest plugin that makes a pool before the session begins, and keeps it, as libraries do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(2)
