"""Loaded before all else (pyproject.toml): some tests change the core, which compiled code does not hear of.

So the tests' own process runs it interpreted, and with FANBELL_TEST_COMPILED set as it was compiled, without the tests
marked `interpreted`. Processes that tests start run it as it is installed.
"""

import os

import pytest

INTERPRETED = "FANBELL_INTERPRETED"

if os.environ.get("FANBELL_TEST_COMPILED"):
    from fanbell.compiled import core

    if core() != "compiled":
        pytest.exit("the core is to be tested compiled, and is not: make install", returncode=2)
else:
    os.environ[INTERPRETED] = "1"
    import fanbell  # noqa: F401 - it looks for compiled code

    del os.environ[INTERPRETED]
