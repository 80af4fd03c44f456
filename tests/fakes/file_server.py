"""A host of weights: Hugging Face's two answers, and a package index, for the files of one folder; its faults are flags.

    python tests/fakes/file_server.py --root DIR --log FILE --drop-after 100000 --drops 2

Prints ``{"url": "http://127.0.0.1:PORT"}`` and serves until its standard input ends. Each finished request is one JSON line in
the log: ``{"method", "path", "range", "status", "sent", "at_once", "authorized"}``.

    /ORG/REPO/resolve/REVISION/FILE   302 to the blob, with its size and sha256 in the headers, as the Hub does
    /blob/FILE                    the bytes, with an ETag; ranges are served
    /own/FILE                     the same for whoever knows the address: no redirect, no published digest
    /simple/NAME/                 the wheels of NAME in the folder, as JSON (PEP 691)
    /idle                         answers when every other request is done and in the log; is not logged itself
"""

import argparse
import hashlib
import json
import select
import sys
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHUNK_BYTES = 16 << 10


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--drop-after", type=int, help="close the connection after that many bytes of a body")
    parser.add_argument("--drops", type=int, default=1 << 30, help="but only the first so many times")
    parser.add_argument("--ignore-range", action="store_true", help="always send the whole file, with 200")
    parser.add_argument("--status", type=int, help="answer every request for a blob with this status")
    parser.add_argument("--statuses", type=int, default=1 << 30, help="but only the first so many times")
    parser.add_argument("--slow", type=int, help="bytes a second")
    parser.add_argument("--wrong-bytes", action="store_true", help="the last byte is not the file's")
    parser.add_argument("--claim-size", type=int, help="the size to publish")
    parser.add_argument("--stall-after", type=int, help="after that many bytes of a body send nothing more, and wait")
    parser.add_argument("--stalls", type=int, default=1 << 30, help="but only the first so many times")
    parser.add_argument("--replace", help="the name of a file that takes the place of every file asked for")
    parser.add_argument("--replace-after", type=int, default=0, help="once so many bytes were sent in all")
    parser.add_argument("--commit", help="the commit of main; asked for by that, a file is never replaced")
    parser.add_argument("--new-etags", action="store_true", help="another ETag in each answer, as of nodes that do not agree")
    parser.add_argument("--retry-after", type=int, help="seconds, sent with --status")
    parser.add_argument("--no-digest", action="store_true", help="publish no sha256")
    parser.add_argument("--token", help="gated: open only to this token")
    parser.add_argument("--known-token", help="gated: a token that is valid and not let in")
    parser.add_argument("--private", action="store_true", help="with --token: not gated, but not to be seen by others")
    parser.add_argument("--renamed", action="store_true", help="the repository moved: first a redirect within the host")
    parser.add_argument("--blob-host", default="127.0.0.1", help="the host name that blobs are served under")
    return parser.parse_args()


FLAGS = flags()
LOCK = threading.Condition()
COUNTS = {"drops": 0, "statuses": 0, "stalls": 0, "in flight": 0, "sent": 0, "answers": 0}


@cache
def content(path, mtime_ns):
    data = path.read_bytes()
    return data, hashlib.sha256(data).hexdigest()


def read(path, fixed=False):
    """Bytes and digest of a file, as of now."""
    if FLAGS.replace and not fixed and COUNTS["sent"] >= FLAGS.replace_after:
        path = path.with_name(FLAGS.replace)
    return content(path, path.stat().st_mtime_ns)


def once_more(fault: str, limit: int) -> bool:
    with LOCK:
        COUNTS[fault] += 1
        return COUNTS[fault] <= limit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sent = 0

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def answer(self):
        if self.path == "/idle":
            with LOCK:
                LOCK.wait_for(lambda: COUNTS["in flight"] == 0, timeout=10)
            self.reply(200)
            return
        self.sent = 0
        self.status = 0
        with LOCK:
            COUNTS["in flight"] += 1
            at_once = COUNTS["in flight"]
        try:
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[0] in ("blob", "own", FLAGS.commit):
                self.blob(FLAGS.root / parts[1], fixed=parts[0] == FLAGS.commit)
            elif parts[0] == "simple":
                self.index(parts[1])
            elif parts[2] == "resolve" and parts[3] in ("main", FLAGS.commit):
                self.resolve(parts)
            else:
                self.reply(404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        line = {"method": self.command, "path": self.path, "range": self.headers.get("Range"), "status": self.status}
        line |= {"sent": self.sent, "at_once": at_once, "authorized": self.headers.get("Authorization") is not None}
        with LOCK, FLAGS.log.open("a") as log:
            log.write(json.dumps(line) + "\n")
            log.flush()
            COUNTS["in flight"] -= 1
            LOCK.notify_all()

    def reply(self, status, headers=(), body=b""):
        self.status = status
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def resolve(self, parts):
        if FLAGS.renamed and not parts[0].startswith("new-"):
            self.reply(307, {"Location": "/new-" + "/".join(parts)})
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if FLAGS.token and token != FLAGS.token:
            code = {"X-Error-Code": "RepoNotFound" if FLAGS.private else "GatedRepo"}
            if token and token != FLAGS.known_token:
                code = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self.reply(403 if token == FLAGS.known_token else 401, code)
            return
        fixed = parts[3] == FLAGS.commit
        file = FLAGS.root / parts[4]
        if not file.exists():
            self.reply(404, {"X-Error-Code": "EntryNotFound"})
            return
        data, digest = read(file, fixed)
        folder = FLAGS.commit if fixed else "blob"
        headers = {"Location": f"http://{FLAGS.blob_host}:{self.server.server_port}/{folder}/{file.name}"}
        headers["X-Linked-Size"] = FLAGS.claim_size or len(data)
        if FLAGS.commit:
            headers["X-Repo-Commit"] = FLAGS.commit
        if not FLAGS.no_digest:
            headers["X-Linked-Etag"] = f'"{digest}"'
        self.reply(302, headers)

    def index(self, name):
        files = [
            {
                "filename": file.name,
                "url": f"../../blob/{file.name}",
                "hashes": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
                "size": FLAGS.claim_size or file.stat().st_size,
            }
            for file in sorted(FLAGS.root.glob(f"{name.replace('-', '_')}-*.whl"))
        ]
        body = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()
        self.reply(200 if files else 404, {"Content-Type": "application/vnd.pypi.simple.v1+json"}, body)

    def blob(self, file, fixed):
        if FLAGS.status and once_more("statuses", FLAGS.statuses):
            self.reply(FLAGS.status, {"Retry-After": FLAGS.retry_after} if FLAGS.retry_after is not None else ())
            return
        data, digest = read(file, fixed)
        if FLAGS.wrong_bytes:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start, end, self.status = 0, len(data), 200
        wanted = self.headers.get("Range")
        if wanted and not FLAGS.ignore_range:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end, self.status = int(first), min(int(last or end) + 1, end), 206
            if start >= len(data):
                self.reply(416, {"Content-Range": f"bytes */{len(data)}"})
                return
        with LOCK:
            COUNTS["answers"] += 1
            node = COUNTS["answers"] if FLAGS.new_etags else ""
        self.send_response(self.status)
        self.send_header("ETag", f'"{digest}{node}"')
        if self.status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "GET":
            self.body(memoryview(data)[start:end])

    def body(self, data):
        drops = FLAGS.drop_after is not None and once_more("drops", FLAGS.drops)
        stalls = FLAGS.stall_after is not None and once_more("stalls", FLAGS.stalls)
        end = min(len(data), FLAGS.drop_after) if drops else min(len(data), FLAGS.stall_after) if stalls else len(data)
        while self.sent < end:
            piece = data[self.sent : min(self.sent + CHUNK_BYTES, end)]
            self.wfile.write(piece)
            self.sent += len(piece)
            with LOCK:
                COUNTS["sent"] += len(piece)
            if FLAGS.slow:
                time.sleep(len(piece) / FLAGS.slow)
        if stalls:
            select.select([self.connection], [], [])  # until the client gives up
        self.close_connection = drops or stalls


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients that go away are what this is for."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main():
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)  # noqa: T201
    sys.stdin.read()


main()
