"""Serve the model of an image: `python -m tasks.serve_image`, what its container runs.

With `--check` it is only held against what the image was made from.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

from tasks.containers import PORT
from tasks.errors import UserError
from tasks.front import NOT_UNDERSTOOD
from tasks.images import parts, sealed
from tasks.serving.options import Options, check
from tasks.serving.server import answer
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tasks.serve_image", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on")  # noqa: S104 - a container's
    parser.add_argument("--port", type=int, default=PORT, help="the port to listen on")
    parser.add_argument("--limit", type=int, default=64, help="the size of a request, in MiB")
    parser.add_argument("--check", action="store_true", help="check the image, and serve nothing")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="modelmake-") as folder:
        repository = os.path.join(folder, "repository")
        shutil.copytree(parts.REPOSITORY, repository)
        os.chdir(repository)
        try:
            release = sealed.opened(open_state())
            if asked.check:
                sealed.check_digests(release)
                return 0
            options = Options(asked.host, asked.port, asked.limit)
            check(options)
            return answer([release], options)
        except UserError as error:
            sys.stderr.write(f"{error}\n")
            return NOT_UNDERSTOOD
        finally:
            os.chdir("/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
