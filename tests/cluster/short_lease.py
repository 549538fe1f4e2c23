"""`fanbell` with edges whose lease is short, so that a test sees it end."""

import sys
from functools import partial
from typing import Final

LEASE_MS: Final = 6_000

if __name__ == "__main__":
    from fanbell.edge.socket import Edge
    from fanbell.infra import up
    from fanbell.infra.cli import run

    up.Edge = partial(Edge, lease_ms=LEASE_MS)  # type: ignore[misc, assignment]
    sys.exit(run(sys.argv[1:]))
