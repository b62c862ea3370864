"""Servers of this machine in the layouts of those that people download bundles from: GitHub's releases, NGC, Hugging Face."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

Answer = bytes | dict[str, Any] | list[Any] | None


@contextmanager
def serve(answer: Callable[[str, str, bytes], Answer]) -> Iterator[str]:
    """Its address. answer: of method, path and body: what is sent, None: 404."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, answer))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    def __init__(self, answer: Callable[[str, str, bytes], Answer], *rest: Any) -> None:
        self.answer = answer
        super().__init__(*rest)

    def do_GET(self) -> None:
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = b"".join(self.chunks()) if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.answer(self.command.replace("HEAD", "GET"), self.path.partition("?")[0], body)
        is_json = isinstance(answer, dict | list)
        content = json.dumps(answer).encode() if is_json else answer or b""
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/json" if is_json else "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_POST = do_GET

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def log_message(self, *_: Any) -> None:
        pass


def release_page(asset: Path, version: str, release: str) -> Callable[[str, str, bytes], Answer]:
    """GitHub's: a zip file NAME_vVERSION.zip. release: owner/repository/tag."""
    owner, repository, tag = release.split("/")
    due = f"/{owner}/{repository}/releases/download/{tag}/{asset.stem}_v{version}.zip"
    return lambda method, path, body: asset.read_bytes() if path == due else None


def ngc(bundle: Path, version: str) -> Callable[[str, str, bytes], Answer]:
    """The list of a version's files, and each of them."""
    files = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}
    top = f"/monai_{bundle.name}/versions"

    def answer(method: str, path: str, body: bytes) -> Answer:
        if path == f"{top}/":
            return {"modelVersions": [{"versionId": version, "createdDate": "2026-11-26"}]}
        if path == f"{top}/{version}/files":
            return {"modelFiles": [{"path": name} for name in files]}
        name = path.removeprefix(f"{top}/{version}/files/")
        return files[name].read_bytes() if name in files else None

    return answer


COMMIT = "c" * 40


class HuggingFace:
    """One repository, as `huggingface_hub` talks to it: pushed to, tagged, listed and downloaded."""

    def __init__(self, repo: str) -> None:
        self.repo = repo
        self.address = ""  # of the server
        self.files = {".gitattributes": b"*.pt filter=lfs diff=lfs merge=lfs -text\n"}  # as the real one adds
        self.tags: list[str] = []

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        api = f"/api/models/{self.repo}"
        if path == "/api/repos/create":
            return {"url": f"{self.address}/{self.repo}"}
        if path == "/api/validate-yaml":
            assert "tags:\n- monai" in json.loads(body)["content"]
            return {"errors": [], "warnings": []}
        if path == f"{api}/preupload/main":
            return {"files": [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]}
        if path == f"{api}/commit/main":
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            self.files |= {file["path"]: base64.b64decode(file["content"]) for file in files}
            return {"commitUrl": f"{self.address}/{self.repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
        if path.startswith(f"{api}/tag/"):
            self.tags.append(json.loads(body)["tag"])
            return {}
        if path == f"{api}/refs":
            refs = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": COMMIT} for tag in self.tags]
            return {
                "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}],
                "converts": [],
                "tags": refs,
            }
        if found := re.fullmatch(rf"{api}/revision/([\w.]+)", path):
            if found[1] not in ("main", *self.tags):
                return None
            return {"id": self.repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
        if path == f"{api}/tree/{COMMIT}":  # what newer clients list by
            sha = {name: hashlib.sha1(content).hexdigest() for name, content in self.files.items()}
            return [{"type": "file", "path": name, "size": len(self.files[name]), "oid": sha[name]} for name in self.files]
        return self.files.get(path.removeprefix(f"/{self.repo}/resolve/{COMMIT}/"))
