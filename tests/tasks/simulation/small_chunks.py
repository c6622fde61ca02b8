"""`geoequiv` with parts of 50 steps, in this process and in those that it starts, which import this file as well."""

import sys

from geoequiv.cli import main
from geoequiv.tasks.simulation import xtb_simulation

xtb_simulation.CHUNK = 50

if __name__ == "__main__":
    sys.exit(main())
