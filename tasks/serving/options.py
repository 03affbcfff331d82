"""Where and how to serve, and whether that can be: told before anything is trained."""

from __future__ import annotations

import socket
import ssl
import sys
from dataclasses import dataclass

from tasks.errors import UserError
from tasks.launch import TOKENS
from tasks.serving.access import tokens_said

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Options:
    """Where and how to serve: `limit` is the size of a request's body in MiB.

    `certificate` and `key` are PEM files, for HTTPS; empty for HTTP.
    """

    host: str
    port: int
    limit: int
    certificate: str = ""
    key: str = ""


def check(options: Options) -> None:
    """Raise UserError for options that cannot be."""
    if options.limit < 1:
        raise UserError(f"`--limit {options.limit}` allows no request", hint="it is in MiB")
    if options.key and not options.certificate:
        raise UserError("`--key` is that of a certificate", hint="name it by `--certificate`")
    _check_certificate(options)
    listening(options).close()
    if not tokens_said() and options.host not in LOOPBACK:
        sys.stderr.write(
            f"everybody who reaches {options.host} may ask: {TOKENS} would ask for a token\n"
        )


def listening(options: Options) -> socket.socket:
    """Return the socket that requests come to.  Raises UserError where it cannot be had."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(
            f"Cannot listen on port {options.port} of `{options.host}`",
            ("reason", getattr(error, "strerror", None) or error),
            hint="`--port` names another port, 0 any that is free; `--host` one of this machine's"
            " addresses",
        ) from error


def _check_certificate(options: Options) -> None:
    """Raise UserError for a certificate that cannot be used."""
    if not options.certificate:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The certificate `{options.certificate}` cannot be used",
            *([("key", options.key)] if options.key else []),
            ("reason", error),
            hint="`--certificate` and `--key` are files in PEM format; the key has no password",
        ) from error
