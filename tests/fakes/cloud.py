"""A cloud API that speaks OpenAI's interface, without a model: it answers with sentences of the text it was given, which are
good views. It has slots and a service time, so requests queue as they do at a real one; its faults are flags.

    python tests/fakes/cloud.py --log FILE --slots 16 --service-seconds 0.2 --fault 429 --times 3 --retry-after 1

Prints ``{"url": "http://HOST:PORT"}`` and serves until its standard input ends. Each request is one JSON line in the log; keys
are not written there. ``POST /control {"fault": "500", "times": 2}`` changes the fault while it runs.

Faults, for the first ``--times`` chat requests (or all) whose text holds ``--only``: 429 (with Retry-After), 500, 503, 400,
context, hang, hold, drop, drip, not-json, no-choices, cost-words, usage-list, parts, wrong-json,
truncated, filtered, lie.
"""

import argparse
import json
import re
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

INPUT_USD, CACHED_USD, OUTPUT_USD = 0.15e-6, 0.075e-6, 0.60e-6  # a token
CHARS_PER_TOKEN = 4
LIE = "The company was sold to a bank in Zurich for 98 million dollars in 1987 after a long strike."


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="refuse requests without this key, with 401")
    parser.add_argument("--slots", type=int, default=16, help="requests served at once; others wait")
    parser.add_argument("--queue", type=int, help="requests that may wait; more get 429")
    parser.add_argument("--service-seconds", type=float, default=0.0)
    parser.add_argument("--seconds-per-token", type=float, default=0.0, help="of the prompt, added to the service time")
    parser.add_argument("--context", type=int, default=128_000, help="tokens; a longer prompt gets 400")
    parser.add_argument("--fault")
    parser.add_argument("--times", type=int, help="only for so many requests")
    parser.add_argument("--only", default="", help="only for requests whose text holds this")
    parser.add_argument("--retry-after", default="", help="with 429")
    parser.add_argument("--hang", type=float, default=30)
    parser.add_argument("--formats", default="json_schema,json_object", help="response_format types that are known")
    parser.add_argument("--lengths", action="store_true", help="schemas may hold minLength and maxLength")
    parser.add_argument("--tokens-field", default="", help="the other name of the limit gets 400")
    parser.add_argument("--no-temperature", action="store_true", help="400 for any temperature but 1")
    parser.add_argument("--cost", action="store_true", help="usage.cost in every answer, as OpenRouter does")
    parser.add_argument("--fill", default="", help="the answer to every blank, instead of looking in the text")
    parser.add_argument("--serve-as", default="", help="another model than was asked for says that it answered")
    return parser.parse_args()


FLAGS = flags()
LOCK = threading.Lock()
SLOTS = threading.Semaphore(FLAGS.slots)
STATE = {"fault": FLAGS.fault, "times": FLAGS.times, "only": FLAGS.only, "in_flight": 0, "most": 0, "prefixes": set()}


def note(**line):
    with LOCK, FLAGS.log.open("a") as log:
        log.write(json.dumps(line) + "\n")


def fault(text):
    """The fault that this request meets, if any."""
    with LOCK:
        if not STATE["fault"] or STATE["only"] not in text or STATE["times"] == 0:
            return None
        if STATE["times"] is not None:
            STATE["times"] -= 1
        return STATE["fault"]


class Refused(Exception):
    def __init__(self, status, message, code="", **headers):
        self.status, self.headers = status, headers
        self.body = {"error": {"message": message, "type": "invalid_request_error", "code": code or None}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self.answer({})

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, asked):
        if self.path == "/control":
            with LOCK:
                STATE.update(asked)
            return self.send(200, {})
        with LOCK:
            STATE["in_flight"] += 1
            STATE["most"] = max(STATE["most"], STATE["in_flight"])
            here = STATE["in_flight"]
        note(path=self.path, body=asked, in_flight=here, at=time.monotonic(), agent=self.headers.get("User-Agent"))
        try:
            if FLAGS.key and self.headers.get("Authorization") != f"Bearer {FLAGS.key}":
                raise Refused(401, f"Incorrect API key provided: {self.headers.get('Authorization', '')[7:12]}***")
            if self.path.endswith("/models"):
                return self.send(200, {"data": [{"id": "fake-mini", "object": "model"}]})
            if not self.path.endswith("/v1/chat/completions"):
                raise Refused(404, "no such route")
            return self.chat(asked, here)
        except Refused as refused:
            return self.send(refused.status, refused.body, **refused.headers)
        finally:
            with LOCK:
                STATE["in_flight"] -= 1

    def chat(self, asked, here):
        prompt = "".join(m["content"] for m in asked["messages"])
        tokens = len(prompt) // CHARS_PER_TOKEN
        check(asked)
        if FLAGS.queue is not None and here > FLAGS.slots + FLAGS.queue:
            raise Refused(429, "Rate limit reached", **{"Retry-After": FLAGS.retry_after or "0.1"})
        met = fault(prompt)
        if met == "429":
            raise Refused(
                429, "Rate limit reached for requests", **({"Retry-After": FLAGS.retry_after} if FLAGS.retry_after else {})
            )
        if met in ("500", "503"):
            raise Refused(int(met), "The server had an error while processing your request")
        if met == "400":
            raise Refused(400, "Invalid value for 'messages'")
        if met == "context" or tokens > FLAGS.context:
            raise Refused(400, f"This model's maximum context length is {FLAGS.context} tokens", "context_length_exceeded")
        if met == "hang":
            time.sleep(FLAGS.hang)
        while met == "hold" and STATE["fault"] == "hold":  # until /control says otherwise
            time.sleep(0.02)
        if met == "drop":
            self.close_connection = True
            return None
        with SLOTS:
            time.sleep(FLAGS.service_seconds + FLAGS.seconds_per_token * tokens)
        with LOCK:
            prefix = prompt[:4096]
            cached = 1024 if len(prompt) > 4096 and prefix in STATE["prefixes"] else 0
            STATE["prefixes"].add(prefix)
        written = summary(asked, prompt, met)
        text, finish = written, "stop"
        if met == "truncated":
            text, finish = written[: len(written) // 2], "length"
        if met == "filtered":
            text, finish = None, "content_filter"
        out = len(text or "") // CHARS_PER_TOKEN
        usage = {
            "prompt_tokens": tokens,
            "completion_tokens": out,
            "total_tokens": tokens + out,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        if FLAGS.cost:
            usage["cost"] = (tokens - cached) * INPUT_USD + cached * CACHED_USD + out * OUTPUT_USD
        said = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "model": FLAGS.serve_as or asked["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
            "usage": usage,
        }
        if met == "no-choices":
            said = {"id": said["id"], "object": "chat.completion"}
        if met == "cost-words":
            usage["cost"] = "a little"
        if met == "usage-list":
            said["usage"] = [usage]
        if met == "parts":
            said["choices"][0]["message"]["content"] = [{"type": "text", "text": text}]
        if met == "not-json":
            return self.send(200, None)
        return self.send(200, said, drip=met == "drip", **{"X-Request-Id": f"req_{uuid.uuid4().hex[:12]}"})

    def send(self, status, said, drip=False, **headers):
        body = b"<html>Bad gateway</html>" if said is None else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for i in range(0, len(body), 1) if drip else ():
                self.wfile.write(body[i : i + 1])
                self.wfile.flush()
                time.sleep(0.05)
            if not drip:
                self.wfile.write(body)
        except OSError:  # who asked has gone
            self.close_connection = True


def check(asked):
    """What this API does not know, it says so."""
    form = asked.get("response_format") or {}
    if form and form["type"] not in FLAGS.formats.split(","):
        raise Refused(400, f"'response_format' of type '{form['type']}' is not supported with this model")
    if form.get("type") == "json_schema" and not FLAGS.lengths and re.search(r"maxLength|minLength", json.dumps(form)):
        raise Refused(400, "Invalid schema for response_format 'view': 'maxLength' is not permitted")
    for name in {"max_tokens", "max_completion_tokens"} - {FLAGS.tokens_field}:
        if FLAGS.tokens_field and name in asked:
            raise Refused(400, f"Unsupported parameter: '{name}'. Use '{FLAGS.tokens_field}' instead.", "unsupported_parameter")
    if FLAGS.no_temperature and asked.get("temperature", 1) != 1:
        raise Refused(400, "Unsupported value: 'temperature' does not support 0 with this model.", "unsupported_value")


def filled(sentence, text):
    """What stands in the text between the words around the blank."""
    if FLAGS.fill:
        return FLAGS.fill
    before, _, after = sentence.partition("____")
    before = re.sub(r"^\d+\. ", "", before)  # the number of the question
    head, tail = r"\s+".join(map(re.escape, before.split()[-3:])), r"\s+".join(map(re.escape, after.split()[:3]))
    found = re.search(rf"{head}\s+(.{{1,40}}?)\s*{tail}" if head else rf"(\S+)\s+{tail}", text)
    return found[1] if found else "-"


def summary(asked, prompt, met):
    """The first sentences of the text, as the JSON that was asked for."""
    text = re.search(r"<text>\n(.*)\n</text>", prompt, re.DOTALL)
    if "____" in prompt and text:
        return json.dumps({"answers": [filled(line, text[1]) for line in prompt.partition("</text>\n")[2].split("\n")[1:]]})
    words = re.search(r"at most (\d+) words", prompt)
    sentences = re.split(r"(?<=[.!?])\s+", (text[1] if text else prompt).strip())
    limit = int(words[1]) if words else 30
    kept, count = [], 0
    for sentence in sentences:
        if kept and count + len(sentence.split()) > limit:
            break
        kept.append(sentence)
        count += len(sentence.split())
    said = LIE if met == "lie" else " ".join(kept)
    answer = json.dumps({"text": said} if met == "wrong-json" else {"summary": said, "facts": []})
    return answer if asked.get("response_format") else f"Here it is:\n```json\n{answer}\n```"


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def main():
    server = Server((FLAGS.host, FLAGS.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://{FLAGS.host}:{server.server_port}"}), flush=True)  # noqa: T201
    sys.stdin.read()


main()
