"""`python -m harness`."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # what follows does not even parse there
    sys.exit("vlm-device-harness needs Python 3.11 or later, this is " + sys.version.split()[0])

from harness.cli import main

if __name__ == "__main__":
    sys.exit(main())
