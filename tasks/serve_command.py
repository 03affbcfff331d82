"""`doit serve`: trained models behind HTTP."""

from __future__ import annotations

import sys
from typing import Any

from doit.exceptions import InvalidCommand

from tasks import generators, plan
from tasks.containers import PORT
from tasks.errors import UserError
from tasks.naming import option
from tasks.run_command import DOITS_OPTIONS, RUN_OPTIONS, Run

PREFIX = "serve:"
FAILED = 1


class Serve(Run):
    """`doit serve [MODEL ...]`: have models evaluated, then answer requests with them."""

    name = "serve"
    doc_purpose = "put trained models behind HTTP"
    doc_usage = "[MODEL ...] [--host HOST] [--port PORT]"
    doc_description = (
        "Without a name all models are served. What is not up to date is trained and evaluated"
        " first; a model that is not as it was evaluated is refused.\n"
        "Exit status 0: ended by Ctrl-C or SIGTERM; 3: not understood, or nothing can be served."
    )
    cmd_options = (
        *DOITS_OPTIONS,
        {**option("host", str, "the address to listen on"), "default": "127.0.0.1"},
        {**option("port", int, "the port to listen on, 0: any that is free"), "default": PORT},
        {**option("limit", int, "the size of a request at most, in MiB"), "default": 64},
        option("certificate", str, "a certificate in PEM format: requests come by HTTPS then"),
        option("key", str, "the certificate's key, where it is a file of its own"),
    )

    def takes_options_behind(self, _word: str) -> bool:
        """Return that options count behind each word: all of them are models."""
        return True

    def execute(self, params: Any, args: list[str]) -> int:
        """Bring the models up to date as `doit evaluate` does, and serve them."""
        words = [word.removeprefix(PREFIX) for word in args]
        # Slow to import, and no other command needs it.
        from tasks.serving.options import Options, check  # noqa: PLC0415
        from tasks.serving.server import serve  # noqa: PLC0415

        names = ("host", "port", "limit", "certificate", "key")
        options = Options(**{name: params[name] for name in names})
        try:
            check(options)
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        for one in RUN_OPTIONS:
            params[one["name"]] = one["default"]
        params["outfile"] = sys.stderr  # stdout is for the access log
        status = super().execute(params, [f"evaluate:{word}" for word in words])
        if status not in (0, FAILED):
            return status
        try:
            models = generators.models()
            named = [plan.find_model(word, models) for word in words] or models
            return serve(list({model.name: model for model in named}.values()), options)
        except UserError as error:
            raise InvalidCommand(str(error)) from error
