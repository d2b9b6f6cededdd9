"""The page and its data over HTTP, from this machine to itself: `serving`.

What could go wrong with a server on one's own machine, and what is done: it listens on the loopback interface alone; every path
begins with a random token, so that neither other users of the machine nor pages in the browser can guess one; a request for a
host other than this machine is refused, which is what DNS rebinding makes of a foreign page; nothing is loaded from elsewhere
(Content-Security-Policy), nothing is written, and no path of a request ever becomes one of a file.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from ..errors import OutputError, PhasefieldError
from ..report.drawing import NOT_FINITE
from ..report.views import color_table
from .look import Look

HOSTS = ("127.0.0.1", "localhost", "[::1]")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "watch.js": ("watch.js", "text/javascript; charset=utf-8"),
    "plot.js": ("plot.js", "text/javascript; charset=utf-8"),
    "watch.css": ("watch.css", "text/css; charset=utf-8"),
}
#: Perceptual maps, then a diverging one.
MAPS = ("viridis", "cividis", "magma", "gray", "coolwarm")


@cache
def _resource(name: str) -> bytes:
    return (files(__package__) / "page" / name).read_bytes()


@cache
def _colors() -> dict[str, Any]:
    return {"grey": NOT_FINITE, "maps": {name: color_table(name).ravel().tolist() for name in MAPS}}


class Site:
    """What is served of a folder.

    Args:
        folder: of a run, or of a sweep. members: of a sweep, name -> what tells it from the others; read anew each time.
    """

    def __init__(self, folder: Path, members: Callable[[], dict[str, str]] | None = None) -> None:
        self._folder, self._members = folder, members
        self.token = secrets.token_urlsafe(24)
        self._tickets: set[str] = set()

    def ticket(self) -> str:
        """What may stand once in place of the token, for a command line that starts a browser: others see command lines."""
        ticket = secrets.token_urlsafe(24)
        self._tickets.add(ticket)
        return ticket

    def admits(self, ticket: str) -> bool:
        """Whether this is a ticket; it is then used up."""
        found = next((t for t in self._tickets if hmac.compare_digest(t.encode(), ticket.encode())), None)
        self._tickets.discard(found or "")
        return found is not None

    def _look(self, query: dict[str, str]) -> Look:
        name = query.get("run", "")
        if self._members is None:
            return Look(self._folder)
        if name not in self._members():
            raise OutputError(f"there is no run {name!r} in this sweep")
        return Look(self._folder / name)

    def state(self, query: dict[str, str]) -> dict[str, Any]:
        """A run; or the members of a sweep, where none is named."""
        if self._members is not None and not query.get("run"):
            from ..report.standing import standing

            rows = [
                {"name": name, "asked": asked, "standing": [state.kind, state.text]}
                for name, asked in self._members().items()
                for state in (standing(self._folder / name),)
            ]
            return {"kind": "sweep", "folder": self._folder.resolve().name, "members": rows, "version": str(rows)}
        name = query.get("run", "")
        return {**self._look(query).summary(), "folder": (self._folder / name).resolve().name}

    def version(self, query: dict[str, str]) -> dict[str, Any]:
        if self._members is not None and not query.get("run"):
            return {"version": self.state(query)["version"]}
        return {"version": self._look(query).version()}

    def colors(self, query: dict[str, str]) -> dict[str, Any]:
        return _colors()

    def snapshot(self, query: dict[str, str]) -> tuple[bytes, dict[str, Any]]:
        """A picture: what its bytes are, and the bytes, float32 (little-endian) or colours, row by row from the top."""
        index, most = int(query.get("index", "-1")), int(query.get("most", "1024"))
        picture = self._look(query).picture(
            index, query.get("field") or None, query.get("slice") or None, min(max(most, 16), 4096)
        )
        rows, columns = picture.image.shape[:2]
        head = {
            "kind": "values" if picture.limits else "colors",
            "rows": rows,
            "columns": columns,
            "cells": picture.cells,
            "limits": picture.limits,
            "time": picture.time,
        }
        values = picture.image.astype("<f4") if picture.limits else picture.image
        return values.tobytes(), head


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection for each request: none outlives the server
    server_version = "phasefield"
    sys_version = ""
    timeout = 60

    def __init__(self, site: Site, *args: Any) -> None:
        self.site = site
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        _, _, rest = parts.path.partition("/")
        token, _, name = rest.partition("/")
        if not self._for_us():
            self._send(421, "text/plain", b"This address is served to this machine alone.\n")
        elif self.site.admits(token):
            self._send(302, "text/plain", b"", {"Location": f"/{self.site.token}/"})
        elif not hmac.compare_digest(token.encode(), self.site.token.encode()):
            self._send(404, "text/plain", b"Not found. The address has to be given whole, with its token.\n")
        elif name in PAGE and parts.path.count("/") == 2:
            file, kind = PAGE[name]
            self._send(200, kind, _resource(file))
        elif name in ("state", "version", "colors", "snapshot"):
            self._data(name, {k: v[-1] for k, v in parse_qs(parts.query).items()})
        else:
            self._send(404, "text/plain", b"Not found.\n")

    def _for_us(self) -> bool:
        """Whether the request is for this machine by its own name, whatever port leads here (``ssh -L``)."""
        host = self.headers.get("Host", "")
        name = host[: host.rindex("]") + 1] if "]" in host else host.partition(":")[0]
        return name.lower() in HOSTS

    def _data(self, name: str, query: dict[str, str]) -> None:
        try:
            found = getattr(self.site, name)(query)
        except PhasefieldError as error:
            return self._json(404, {"error": str(error)})
        except ValueError:
            return self._json(400, {"error": "a number is expected"})
        except Exception as error:  # a fault of ours is no reason to leave the page without an answer
            return self._json(500, {"error": f"{type(error).__name__}: {error}"})
        if isinstance(found, tuple):
            content, head = found
            return self._send(200, "application/octet-stream", content, {"X-Picture": json.dumps(head)})
        return self._json(200, found)

    def _json(self, code: int, content: dict[str, Any]) -> None:
        text = json.dumps(content, allow_nan=False, default=_plain)
        self._send(code, "application/json", text.encode("utf-8", "surrogateescape"))

    def _send(self, code: int, kind: str, content: bytes, more: dict[str, str] | None = None) -> None:
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
            **(more or {}),
        }
        with suppress(ConnectionError, TimeoutError):  # a page that was closed meanwhile
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # connections that end in the middle


@contextmanager
def serving(site: Site, port: int = 0) -> Iterator[str]:
    """Serves a site, in a thread, while the block lasts.

    Args:
        port: on the loopback interface; 0 takes a free one.

    Yields:
        the address of the page.

    Raises:
        OutputError: the port is taken, or not allowed.
    """
    try:
        server = _Server(("127.0.0.1", port), partial(_Handler, site))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"port {port} cannot be served: {reason}\n  choose another port=, or leave it out") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{site.token}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
