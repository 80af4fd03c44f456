"""A llama.cpp server without a model: the routes llmc uses, answered at once; its faults are flags.

    python tests/fakes/llama_server.py --log FILE --status 500 --message "slot unavailable"

Prints ``{"url": "http://HOST:PORT"}`` and serves until its standard input ends. Each connection and each request is one JSON
line in the log.
"""

import argparse
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TEXT = "four words of text"


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="the address to print; it listens there")
    parser.add_argument("--key", help="refuse requests without this key, with 401")
    parser.add_argument("--status", type=int, help="answer everything with this status")
    parser.add_argument("--message", help="and this message, in llama.cpp's form")
    parser.add_argument("--error-type", help="and this type, beside the message")
    parser.add_argument("--retry-after", help="the header")
    parser.add_argument("--hang", type=float, default=0, help="seconds before the answer")
    parser.add_argument("--drop", action="store_true", help="close the connection instead of answering")
    parser.add_argument("--not-json", action="store_true")
    parser.add_argument("--wrong-shape", action="store_true", help="JSON, but not the fields of the route")
    parser.add_argument("--truncate", action="store_true", help="half of the announced body, then close")
    parser.add_argument("--no-usage", action="store_true", help="chat answers without token counts")
    return parser.parse_args()


FLAGS = flags()
LOCK = threading.Lock()


def note(**line):
    with LOCK, FLAGS.log.open("a") as log:
        log.write(json.dumps(line) + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        note(event="connection")
        super().setup()

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self.answer(None)

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, asked):
        note(event="request", path=self.path, body=asked)
        time.sleep(FLAGS.hang)
        if FLAGS.drop:
            self.close_connection = True
            return
        status, said = FLAGS.status or 200, self.said(asked)
        if FLAGS.key and self.headers.get("Authorization") != f"Bearer {FLAGS.key}":
            status, said = 401, {"error": {"message": "Invalid API Key"}}
        elif FLAGS.status:
            said = {"error": {"message": FLAGS.message, "type": FLAGS.error_type}} if FLAGS.message else {}
        body = b"<html>busy</html>" if FLAGS.not_json else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if FLAGS.retry_after:
            self.send_header("Retry-After", FLAGS.retry_after)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if FLAGS.truncate else body)
        self.close_connection = FLAGS.truncate

    def said(self, asked):
        if FLAGS.wrong_shape:
            return {"detail": []}
        if self.path == "/health":
            return {"status": "ok"}
        if self.path == "/v1/models":
            return {"data": [{"id": "fake"}]}
        if self.path == "/props":
            return {"total_slots": 2, "default_generation_settings": {"n_ctx": 2048}}
        if self.path == "/slots":
            return [{"id": 0, "is_processing": True}, {"id": 1, "is_processing": False}]
        if self.path == "/metrics":
            return {}
        if self.path == "/tokenize":
            return {"tokens": list(range(len(asked["content"].split())))}
        if self.path == "/apply-template":
            return {"prompt": " ".join(m["content"] for m in asked["messages"])}
        usage = {"prompt_tokens": 7, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}
        choice = {"message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        return {"choices": [choice]} | ({} if FLAGS.no_usage else {"usage": usage})


def main():
    server = ThreadingHTTPServer((FLAGS.host, 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://{FLAGS.host}:{server.server_port}"}), flush=True)  # noqa: T201
    sys.stdin.read()


main()
