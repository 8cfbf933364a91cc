"""A library that starts a thread when it is imported."""

from __future__ import annotations

import threading

from .work import until_the_end

threading.Thread(target=until_the_end, name="lazy ticker", daemon=True).start()
