"""Writes a file as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path


def write_whole(target: Path, data: bytes, *, keeps_mode: bool = False, is_durable: bool = False) -> None:
    """Write a file such that whoever opens it finds all of it, or what was there before.

    Args:
        target: the file; its folder is there.
        data: what it is to have in it.
        keeps_mode: whether it keeps the permissions of the file that is there.
        is_durable: whether it is on the disk when this returns, should the machine stop then.

    Raises:
        OSError: it cannot be written; then what was there is still there.
    """
    beside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        if keeps_mode:
            with contextlib.suppress(OSError):  # it is not there any more
                shutil.copymode(target, beside)
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
