"""With FANBELL_COMPILED=1 the core is compiled: into a wheel (`python -m build`), or by `make install` beside it.

Without, the wheel is for every machine. It takes a C compiler, and mypyc, which builders fetch. All else is in
pyproject.toml.
"""

import os
import sys
import tomllib
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent
WANTED = bool(os.environ.get("FANBELL_COMPILED"))

sys.path.insert(0, str(HERE))  # a build back end does not


def extensions() -> list[Extension]:
    from mypyc.build import mypycify

    from fanbell import compiled

    # By the names that the package has them under; the types are checked by `make lint`.
    paths = [f"fanbell/{path.relative_to(compiled.ROOT)}" for path in compiled.sources()]
    options = ["--config-file=", "--ignore-missing-imports", *paths]
    # -O2 and -O3 made it no faster, and took a fifth longer.
    where = os.environ.get("FANBELL_COMPILED_IN", "build")
    made: list[Extension] = mypycify(
        options, opt_level="1", debug_level="0", group_name=compiled.GROUP, target_dir=where
    )
    return made


def takes() -> list[str]:
    """What it takes to compile it: mypyc, and the types of all that is imported."""
    return ["mypy>=1.18", *tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["dependencies"]]


# Asked also by those who want to know what it takes, and have none of it yet.
BUILDING = WANTED and not {"egg_info", "dist_info"} & set(sys.argv)
setup(ext_modules=extensions() if BUILDING else [], setup_requires=takes() if WANTED else [])
