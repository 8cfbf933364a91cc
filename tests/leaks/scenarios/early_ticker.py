"""A library that starts a thread when it is imported, and was imported before the first test."""

from __future__ import annotations

import threading

from .work import until_the_end

threading.Thread(target=until_the_end, name="early ticker", daemon=True).start()
