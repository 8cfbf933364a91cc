"""``python -m pytest_mockstream``."""

import sys

from .doors.server.serve import main

sys.exit(main())
