"""`python -m standin` is the command `standin`."""

import sys

from standin.cli import main

if __name__ == "__main__":
    sys.exit(main())
