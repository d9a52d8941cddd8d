"""``python -m kakusan`` is the command ``kakusan``."""

import sys

from kakusan.commands import main

sys.exit(main())
