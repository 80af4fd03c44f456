"""An OpenAI-compatible server that streams; its pace and its faults are flags. It has ``--slots`` places, others wait.

    python tests/fakes/stream_server.py --log FILE --tokens 8 --first-seconds 0.05 --gap-seconds 0.01 --slots 4

Prints ``{"url": "http://127.0.0.1:PORT"}`` and serves until its standard input ends. Each request is one JSON line in the log.
A prompt it has seen before is answered with all of its tokens counted as cached.
"""

import argparse
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--first-seconds", type=float, default=0.0)
    parser.add_argument("--gap-seconds", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--fail-every", type=int, default=0, help="every so many requests, 500 instead of an answer")
    parser.add_argument("--break-after", type=int, default=0, help="pieces before the connection is closed")
    parser.add_argument("--error-midway", action="store_true", help="an error in the stream instead of the second piece")
    return parser.parse_args()


FLAGS = flags()
LOCK = threading.Lock()
PLACES = threading.Semaphore(FLAGS.slots)
SEEN: set[str] = set()
COUNT = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self.reply(200, {"data": [{"id": "fake"}], "status": "ok"})

    def do_POST(self):
        global COUNT
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["messages"][-1]["content"]
        with LOCK, FLAGS.log.open("a") as log:
            COUNT += 1
            number, cached = COUNT, prompt in SEEN
            SEEN.add(prompt)
            log.write(json.dumps({"prompt": prompt, "max_tokens": asked["max_tokens"]}) + "\n")
        with PLACES:
            if FLAGS.fail_every and number % FLAGS.fail_every == 0:
                self.reply(500, {"error": {"message": "the fake was told to fail"}})
                return
            self.stream(min(FLAGS.tokens, asked["max_tokens"]), len(prompt.split()), cached)

    def reply(self, status, said):
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, tokens, prompt_tokens, cached):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.say({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for i in range(tokens):
            time.sleep(FLAGS.gap_seconds if i else FLAGS.first_seconds)
            if FLAGS.break_after and i == FLAGS.break_after:
                self.connection.close()
                return
            if FLAGS.error_midway and i:
                self.say({"error": {"message": "out of memory"}})
                return
            self.say({"choices": [{"delta": {"content": "word "}}]})
        details = {"cached_tokens": prompt_tokens if cached else 0}
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "prompt_tokens_details": details}
        self.say({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def say(self, said):
        self.wfile.write(b"data: " + json.dumps(said).encode() + b"\n\n")
        self.wfile.flush()


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)  # noqa: T201
    sys.stdin.read()


main()
