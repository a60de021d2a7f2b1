"""`python -m nexus_sched` is `nexus-sched`."""

import sys

from nexus_sched.cli import main

sys.exit(main())
