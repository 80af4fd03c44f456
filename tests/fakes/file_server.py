"""A host of weights: Hugging Face's two answers, and a package index, for the files of one folder; its faults are flags.

    python tests/fakes/file_server.py --root DIR --log FILE --drop-after 100000 --drops 2

Prints ``{"url": "http://127.0.0.1:PORT"}`` and serves until its standard input ends. Each finished request is one JSON line in
the log: ``{"method", "path", "range", "status", "sent", "authorized"}``.

    /ORG/REPO/resolve/main/FILE   302 to the blob, with its size and sha256 in the headers, as the Hub does
    /blob/FILE                    the bytes
    /simple/NAME/                 the wheels of NAME in the folder, as JSON (PEP 691)
    /idle                         answers when every other request is done and in the log; is not logged itself
"""

import argparse
import hashlib
import json
import sys
import threading
import time
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
    parser.add_argument("--no-digest", action="store_true", help="publish no sha256")
    parser.add_argument("--token", help="open only to this token")
    parser.add_argument("--blob-host", default="127.0.0.1", help="the host name that blobs are served under")
    return parser.parse_args()


FLAGS = flags()
LOCK = threading.Condition()
COUNTS = {"drops": 0, "statuses": 0, "in flight": 0}


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
        try:
            parts = self.path.strip("/").split("/")
            if parts[0] == "blob":
                self.blob(FLAGS.root / parts[1])
            elif parts[0] == "simple":
                self.index(parts[1])
            elif parts[2:4] == ["resolve", "main"]:
                self.resolve(FLAGS.root / parts[4])
            else:
                self.reply(404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        line = {"method": self.command, "path": self.path, "range": self.headers.get("Range"), "status": self.status}
        line |= {"sent": self.sent, "authorized": self.headers.get("Authorization") is not None}
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

    def resolve(self, file):
        if FLAGS.token and self.headers.get("Authorization") != f"Bearer {FLAGS.token}":
            self.reply(401 if self.headers.get("Authorization") is None else 403)
            return
        if not file.exists():
            self.reply(404)
            return
        data = file.read_bytes()
        headers = {"Location": f"http://{FLAGS.blob_host}:{self.server.server_port}/blob/{file.name}"}
        headers["X-Linked-Size"] = FLAGS.claim_size or len(data)
        if not FLAGS.no_digest:
            headers["X-Linked-Etag"] = f'"{hashlib.sha256(data).hexdigest()}"'
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

    def blob(self, file):
        if FLAGS.status and once_more("statuses", FLAGS.statuses):
            self.reply(FLAGS.status)
            return
        data = file.read_bytes()
        if FLAGS.wrong_bytes:
            data = data[:-1] + bytes([data[-1] ^ 1])
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and not FLAGS.ignore_range else 0
        if start >= len(data):
            self.reply(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        self.status = 206 if start else 200
        self.send_response(self.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "GET":
            self.body(data[start:])

    def body(self, data):
        drops = FLAGS.drop_after is not None and once_more("drops", FLAGS.drops)
        end = min(len(data), FLAGS.drop_after) if drops else len(data)
        while self.sent < end:
            piece = data[self.sent : min(self.sent + CHUNK_BYTES, end)]
            self.wfile.write(piece)
            self.sent += len(piece)
            if FLAGS.slow:
                time.sleep(len(piece) / FLAGS.slow)
        self.close_connection = drops


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)  # noqa: T201
    sys.stdin.read()


main()
