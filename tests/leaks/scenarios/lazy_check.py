"""A library that needs a thread for its import, and no longer."""

from __future__ import annotations

import threading

thread = threading.Thread(target=int)
thread.start()
thread.join()
