"""A small stand-in of the Hub's HTTP interface, on loopback: what the client asks when it uploads and downloads."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants, hf_api

from drip_lightning.nn import sources


class Hub(ThreadingHTTPServer):
    """Repositories in memory: name to commits, each a mapping from path to content."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.cut: str | None = None
        """File whose download breaks off in the middle, every time."""
        self.refuses = False
        """Whether nobody is logged in."""
        self.lost = False
        """Whether it is another server, which knows of nothing."""
        self.asked: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Add files to a repository; the new commit."""
        commits = self.repositories.setdefault(name, {})
        whole = {**(list(commits.values())[-1] if commits else {}), **files}
        digest = hashlib.sha1(
            repr(sorted((path, hash(content)) for path, content in whole.items())).encode()
        ).hexdigest()
        commits[digest] = whole
        return digest


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Length": str(len(content)),
            **{name.replace("_", "-"): one for name, one in headers.items()},
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def _files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """A repository's commit and files; none, answered, if there is none."""
        commits = self.server.repositories.get(name)
        if not commits:
            self._answer(404, X_Error_Code="RepoNotFound")
            return None
        commit = list(commits)[-1] if revision == "main" else revision
        if commit not in commits:
            self._answer(404, X_Error_Code="RevisionNotFound")
            return None
        return commit, commits[commit]

    def do_POST(self) -> None:
        content, path = self.rfile.read(int(self.headers["Content-Length"])), urlsplit(self.path).path
        self.server.asked.append(path)
        if self.server.refuses:
            self._json({"error": "Invalid username or password."}, 401)
        elif path == "/api/repos/create":
            wanted = json.loads(content)
            name = f"{wanted['organization']}/{wanted['name']}"
            self.server.repositories.setdefault(name, {})
            self._json({"url": f"{self.server.endpoint}/{name}", "name": name, "id": name})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = [{"path": one["path"]} for one in json.loads(content)["files"]]
            self._json({"files": [one | {"uploadMode": "regular", "shouldIgnore": False} for one in files]})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            lines = [json.loads(line) for line in content.splitlines()]
            added = [line["value"] for line in lines if line["key"] == "file"]
            commit = self.server.commit(found[1], {one["path"]: base64.b64decode(one["content"]) for one in added})
            url = f"{self.server.endpoint}/{found[1]}/commit/{commit}"
            self._json({"success": True, "commitOid": commit, "commitUrl": url})
        else:
            self._answer(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        if self.server.lost:
            self._answer(404)
        elif path == "/":
            self._answer(200)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            if (held := self._files(found[1], found[2] or "main")) is not None:
                siblings = [{"rfilename": one} for one in held[1]]
                self._json({"id": found[1], "sha": held[0], "siblings": siblings, "tags": [], "private": False})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            if (held := self._files(found[1], found[2])) is not None:
                files = [
                    {"type": "file", "path": one, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for one, content in held[1].items()
                ]
                self._json(files)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            if (held := self._files(found[1], found[2])) is not None:
                self._send_file(*held, found[3])
        else:
            self._answer(404)

    def _send_file(self, commit: str, files: dict[str, bytes], path: str) -> None:
        if path not in files:
            self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            return
        content = files[path]
        headers = {
            "X_Repo_Commit": commit,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept_Ranges": "bytes",
        }
        if path == self.server.cut and self.command == "GET":
            is_first = "Range" not in self.headers
            self._answer(200, content[: len(content) // 2 * is_first], Content_Length=str(len(content)), **headers)
            self.close_connection = True
            return
        self._answer(200, content, **headers)


@contextmanager
def loopback_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve one, and have the client of this process ask it, with a cache of its own."""
    hub = Hub()
    Thread(target=hub.serve_forever, daemon=True).start()
    point_client(hub.endpoint, cache, monkeypatch)
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        sources.hub_problem.cache_clear()


def point_client(endpoint: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT, HF_HUB_CACHE and HF_TOKEN do to a process that starts with them."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    sources.hub_problem.cache_clear()
