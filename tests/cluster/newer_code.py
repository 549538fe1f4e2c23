"""Processes of newer code, that can run a second version of the fold: a worker as `worker_process.py`'s, or a command.

`python -m tests.cluster.newer_code PORT PREFIX FOLDER`, or `… fanbell ARGUMENTS`.
"""

import sys

if __name__ == "__main__":
    from tests import interpreted  # noqa: F401 - before what it is to change
    from tests.streams.two_folds import two_known

    two_known()  # before the modules are imported that say what this code can run
    if sys.argv[1] == "fanbell":
        from fanbell.infra.cli import run

        sys.exit(run(sys.argv[2:]))
    from tests.cluster import worker_process

    worker_process.main()
