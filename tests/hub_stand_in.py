"""A model hub on this machine: the routes that huggingface_hub asks, and the ways they fail."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
API = re.compile(
    r"/api/(models|datasets)/(?P<name>[^/]+/[^/]+)/(?P<what>tree|revision)/(?P<commit>[^/?]+)"
)
FILE = re.compile(r"/(datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<path>.+)")


@dataclass
class Hub:
    """What is on the hub, how it is to fail, and what it was asked."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)  # name: path: content
    gated: set[str] = field(default_factory=set)
    deaths: dict[str, int] = field(default_factory=dict)  # path: answers that end in its middle
    down: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serve() -> Iterator[Hub]:
    """A hub that answers at its `url` until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does: errors by name in a header, files with their commit and digest."""

    hub: Hub

    def do_GET(self) -> None:  # noqa: N802
        listing, file = API.match(self.path), FILE.match(self.path)
        asked = listing or file
        if asked:  # the library also asks what it needs for itself
            self.hub.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}")
        files = self.hub.repositories.get(asked["name"]) if asked else None
        if self.hub.down:
            self._answer(503)
        elif files is None:
            self._answer(401, error="RepoNotFound")
        elif asked["commit"] != COMMIT:
            self._answer(404, error="RevisionNotFound")
        elif listing:
            entries = [_entry(*item) for item in files.items()]
            # Versions 1 of huggingface_hub ask for what they call the info, with the names alone.
            info = {"id": asked["name"], "sha": COMMIT, "siblings": entries}
            self._answer(200, json.dumps(entries if asked["what"] == "tree" else info).encode())
        elif asked["name"] in self.hub.gated:
            self._answer(403, error="GatedRepo")
        elif asked["path"] not in files:
            self._answer(404, error="EntryNotFound")
        else:
            self._send_file(asked["path"], files[asked["path"]])

    do_HEAD = do_GET  # noqa: N815

    def _send_file(self, path: str, content: bytes) -> None:
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        status, start = 200, 0
        if span := re.match(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(span[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        end = len(content)
        if self.command == "GET" and self.hub.deaths.get(path, 0) > 0:
            self.hub.deaths[path] -= 1
            end = (start + end) // 2
        self._answer(status, content[start:end], headers, length=len(content) - start)

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        error: str = "",
        length: int | None = None,
    ) -> None:
        """Send an answer, whose body may be shorter than the `length` that it promises."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: `asked` has it."""


def _entry(path: str, content: bytes) -> dict:
    return {
        "type": "file",
        "path": path,
        "rfilename": path,
        "size": len(content),
        "oid": hashlib.sha1(content).hexdigest(),
    }
