"""The page at `/docs`, which shows to people what a server offers.

It is one file that loads nothing but `/openapi.json`, and its headers forbid it to.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path


@functools.cache
def page() -> tuple[bytes, dict[str, str]]:
    """Return the page at `/docs` and its headers: it needs `/openapi.json` and nothing else."""
    text = Path(__file__).with_name("page.html").read_bytes()
    parts = {name: _digest(text, name) for name in (b"script", b"style")}
    rules = (
        "default-src 'none'",
        f"script-src {parts[b'script']}",
        f"style-src {parts[b'style']}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return text, {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "; ".join(rules),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _digest(text: bytes, name: bytes) -> str:
    """Return what allows the page's only script, or style, and no other."""
    inner = text.partition(b"<%b>" % name)[2].partition(b"</%b>" % name)[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(inner).digest()).decode()}'"
