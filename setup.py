"""With FANBELL_COMPILED=1 the core is compiled: into a wheel (`python -m build`), or by `make install` beside it.

Without, the wheel is for every machine. All else is in pyproject.toml. It takes mypyc (`pip install 'mypy>=1.18'`) and
a C compiler, so building such a wheel takes `--no-isolation`.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).parent))  # a build back end does not


def extensions() -> list[Extension]:
    if not os.environ.get("FANBELL_COMPILED"):
        return []
    from mypyc.build import mypycify

    from fanbell import compiled

    # By the names that the package has them under; the types are checked by `make lint`.
    paths = [f"fanbell/{path.relative_to(compiled.ROOT)}" for path in compiled.sources()]
    options = ["--config-file=", "--ignore-missing-imports", *paths]
    # -O2 and -O3 made it no faster, and took a fifth longer.
    where = os.environ.get("FANBELL_COMPILED_IN", "build")
    return mypycify(options, opt_level="1", debug_level="0", group_name=compiled.GROUP, target_dir=where)


setup(ext_modules=extensions())
