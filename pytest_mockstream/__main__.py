"""``python -m pytest_mockstream``."""

import sys

from ._serve import main

sys.exit(main())
