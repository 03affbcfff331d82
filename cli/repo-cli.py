#!/usr/bin/env python3
"""Add, list, rename and remove models, or begin a repository: `cli/repo-cli.py -h` says how."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))

try:
    from tasks.repository import main
except ModuleNotFoundError:  # another Python's: the checkout brings its own
    if sys.prefix == os.path.join(ROOT, ".venv"):
        raise
    bootstrap = os.path.join(ROOT, "bootstrap")
    words = [bootstrap, "python", os.path.realpath(__file__), *sys.argv[1:]]
    os.execv(bootstrap, words)  # noqa: S606 - no shell is what is wanted

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
