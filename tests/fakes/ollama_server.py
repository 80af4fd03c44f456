"""An Ollama server: the routes, error shapes and habits of ollama 0.33, answered without a model; its faults are flags.

    python tests/fakes/ollama_server.py --log FILE --has qwen2.5:7b --library llama3.1:8b --pull-drop-after 4 --pull-drops 2

Prints ``{"url": "http://HOST:PORT"}`` and serves until its standard input ends. Each request is one JSON line in the log:
``{"method", "path", "body"}``. With ``--backend URL`` a real llama.cpp server does the answering and the counting, as it does
behind Ollama since 0.30; without it, words are tokens. What a pull has brought stays, as Ollama's partial blobs do.

    ollama_server.py serve      as the program ``ollama`` itself

listens where OLLAMA_HOST says, keeps what it has in the folder OLLAMA_MODELS, starts a process for the model it loads, and ends
by a signal; its flags are in FAKE_OLLAMA.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TEXT = "four words of text"
TRAINED_CONTEXT = 8192
DEFAULT_CONTEXT = 4096  # on a machine with less than 23 GiB of VRAM
WEIGHTS_BYTES = 98_362_432
LAYERS = {"model": 4_000_000, "template": 1_500, "license": 11_000, "params": 500}
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "134.52M",
    "quantization_level": "Q4_1",
}


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="the address to print; it listens there")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--version", default="0.33.0")
    parser.add_argument("--has", action="append", default=[], help="a model that is there")
    parser.add_argument("--remote", action="append", default=[], help="a model that is there and computed elsewhere")
    parser.add_argument("--library", action="append", default=[], help="a model that can be pulled")
    parser.add_argument("--backend", help="the address of a llama.cpp server that answers")
    parser.add_argument("--vram-share", type=float, default=1.0, help="of the model, on the GPU")
    parser.add_argument("--load-error", help="loading fails with this message")
    parser.add_argument("--cuts", action="store_true", help="before 0.12.6: truncate and shift are not known, prompts are cut")
    parser.add_argument("--old-refusal", action="store_true", help="0.12.6 to 0.29: the refusal of a long prompt is a sentence")
    parser.add_argument("--busy", type=int, default=0, help="so many requests are refused: the queue is full")
    parser.add_argument("--hang", type=float, default=0, help="seconds before an answer")
    parser.add_argument("--midway-error", help="an answer ends with this message")
    parser.add_argument("--no-counts", action="store_true", help="answers without token counts")
    parser.add_argument("--not-json", action="store_true")
    parser.add_argument("--pull-error", help="a pull ends with this message, after its manifest")
    parser.add_argument("--pull-errors", type=int, default=1 << 30, help="but only the first so many times")
    parser.add_argument("--pull-mismatches", type=int, default=0, help="so many pulls end with a digest that does not agree")
    parser.add_argument("--pull-stall-after", type=int, help="after so many steps nothing more comes; lines still do")
    parser.add_argument("--pull-stalls", type=int, default=1 << 30, help="but only the first so many times")
    parser.add_argument("--pull-drop-after", type=int, help="after so many steps the connection is lost")
    parser.add_argument("--pull-drops", type=int, default=1 << 30, help="but only the first so many times")
    parser.add_argument("--pull-unfinished", action="store_true", help="the stream ends without success and without an error")
    parser.add_argument("--pull-seconds", type=float, default=0.005, help="between two steps")
    if not SERVE:
        return parser.parse_args()
    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    store = Path(os.environ["OLLAMA_MODELS"])
    store.mkdir(parents=True, exist_ok=True)
    here = ["--host", host, "--port", port, "--log", str(store / "asked.log")]
    return parser.parse_args([*here, *shlex.split(os.environ.get("FAKE_OLLAMA", ""))])


SERVE = sys.argv[1:] == ["serve"]
FLAGS = flags()
STORE = Path(os.environ["OLLAMA_MODELS"], "manifests.json") if SERVE else None
LOCK = threading.Lock()
LEFT = {"busy": FLAGS.busy, "mismatches": FLAGS.pull_mismatches}
LEFT |= {"drops": FLAGS.pull_drops, "stalls": FLAGS.pull_stalls, "errors": FLAGS.pull_errors}
BLOBS: dict[str, int] = {}  # bytes by sha256
ARRIVED: dict[str, dict[str, int]] = {}  # of each model, the bytes of each layer
LOADED: dict[str, dict] = {}


def once_more(fault):
    with LOCK:
        LEFT[fault] -= 1
        return LEFT[fault] >= 0


def full(name):
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


MODELS = {full(name): {"remote": name in FLAGS.remote} for name in (*FLAGS.has, *FLAGS.remote)}
if STORE and STORE.exists():
    MODELS |= json.loads(STORE.read_text())


def keep(name):
    MODELS[name] = {"remote": False}
    if STORE:
        STORE.write_text(json.dumps(MODELS))


def find(name, names):
    """Names are compared without regard to case."""
    return next((known for known in names if known.lower() == full(name).lower()), None)


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


def now():
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_DELETE(self):
        self.answer()

    def blob(self):
        """/api/blobs/sha256:HEX: what was sent under a digest, if it has that digest."""
        said = self.path.removeprefix("/api/blobs/sha256:")
        length = int(self.headers.get("Content-Length") or 0)
        found = self.rfile.read(length) if length else b""
        with LOCK, FLAGS.log.open("a") as log:
            log.write(json.dumps({"method": self.command, "path": self.path, "body": length}) + "\n")
        if self.command == "HEAD":
            self.send(200 if said in BLOBS else 404, b"")
        elif hashlib.sha256(found).hexdigest() != said:
            self.json({"error": f'digest mismatch, expected "sha256:{said}"'}, 400)
        else:
            self.send(200 if said in BLOBS else 201, b"")
            BLOBS[said] = length

    def post_api_create(self, body):
        for name, sha in (body.get("files") or {}).items():
            if sha.removeprefix("sha256:") not in BLOBS:
                raise Refused(400, f"blob {sha!r} for {name!r} not found")
        if not body.get("files"):
            raise Refused(400, 'neither "from" or "files" was specified')
        keep(full(body["model"]))
        steps = [{"status": "parsing GGUF"}, {"status": "writing manifest"}, {"status": "success"}]
        if body.get("stream", True):
            self.lines(steps)
        else:
            self.json(steps[-1])

    def answer(self):
        if self.path.startswith("/api/blobs/"):
            self.blob()
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw) if raw else None
        except ValueError as error:
            body = error
        with LOCK, FLAGS.log.open("a") as log:
            log.write(
                json.dumps({"method": self.command, "path": self.path, "body": body if raw else None}, default=str) + "\n"
            )
        route = getattr(self, f"{self.command.lower()}_{re.sub('[^a-z0-9]+', '_', self.path).strip('_')}", None)
        if self.path == "/":
            self.send(200, b"Ollama is running", "text/plain; charset=utf-8")
        elif route is None:
            self.send(404, b"404 page not found", "text/plain")
        elif self.command == "POST" and body is None:
            self.json({"error": "missing request body"}, 400)
        elif isinstance(body, ValueError):
            self.json({"error": str(body)}, 400)
        else:
            try:
                route(body)
            except Refused as refused:
                self.json({"error": refused.message}, refused.status)

    def send(self, status, body, kind="application/json; charset=utf-8"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value, status=200):
        self.send(status, b"<html>" if FLAGS.not_json else json.dumps(value).encode())

    def lines(self, values):
        """NDJSON in chunks, as it comes."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for value in values:
            if value is None:  # the connection is lost
                self.close_connection = True
                return
            line = json.dumps(value).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    # -- what is there

    def get_api_version(self, body):
        self.json({"version": FLAGS.version})

    def get_api_tags(self, body):
        self.json({"models": [self.listed(name) for name in MODELS]})

    def get_v1_models(self, body):
        self.json({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "library"} for name in MODELS]})

    def listed(self, name):
        entry = {"name": name, "model": name, "modified_at": now(), "size": WEIGHTS_BYTES, "digest": digest(name)}
        if MODELS[name]["remote"]:
            entry |= {"remote_model": name.split(":")[0], "remote_host": "https://ollama.com:443"}
        return entry | {"details": DETAILS}

    def get_api_ps(self, body):
        for name in [name for name, model in LOADED.items() if model["until"] < time.time()]:
            del LOADED[name]
        running = []
        for name, model in LOADED.items():
            until = datetime.fromtimestamp(min(model["until"], 4e9), UTC).isoformat()
            entry = {"name": name, "model": name, "size": WEIGHTS_BYTES, "digest": digest(name), "details": DETAILS}
            entry |= {"expires_at": until, "size_vram": int(WEIGHTS_BYTES * model["share"]), "context_length": model["context"]}
            running.append(entry)
        self.json({"models": running})

    def post_api_show(self, body):
        self.known(body)
        info = {"general.architecture": "llama", "llama.block_count": 30, "llama.context_length": TRAINED_CONTEXT}
        said = {"license": "Apache", "modelfile": "FROM x", "parameters": "", "template": "{{ .Prompt }}", "details": DETAILS}
        self.json(said | {"model_info": info, "capabilities": ["completion"], "modified_at": now()})

    def delete_api_delete(self, body):
        name = self.known(body)
        del MODELS[name]
        LOADED.pop(name, None)
        self.send(200, b"")

    def known(self, body):
        asked = body.get("model") or body.get("name") or ""
        if not asked:
            raise Refused(400, "model is required")
        name = find(asked, MODELS)
        if name is None:
            raise Refused(404, f"model '{asked}' not found")
        return name

    # -- answers

    def post_api_generate(self, body):
        name = self.known(body)
        if not body.get("prompt"):
            self.loaded_or_unloaded(name, body, {"response": ""})
            return
        self.reply(name, body, [{"role": "user", "content": body["prompt"]}], lambda text: {"response": text})

    def post_api_chat(self, body):
        name = self.known(body)
        if not body.get("messages"):
            self.loaded_or_unloaded(name, body, {"message": {"role": "assistant", "content": ""}})
            return
        self.reply(name, body, body["messages"], lambda text: {"message": {"role": "assistant", "content": text}})

    def loaded_or_unloaded(self, name, body, empty):
        if keep_alive(body) == 0:
            LOADED.pop(name, None)
            reason = "unload"
        else:
            self.load(name, body)
            reason = "load"
        self.json({"model": body["model"], "created_at": now(), **empty, "done": True, "done_reason": reason})

    def load(self, name, body):
        if FLAGS.load_error:
            raise Refused(500, FLAGS.load_error)
        options = body.get("options") or {}
        context = min(options.get("num_ctx") or DEFAULT_CONTEXT, TRAINED_CONTEXT)
        share = 0.0 if options.get("num_gpu") == 0 else FLAGS.vram_share
        if SERVE and not LOADED:
            subprocess.Popen(["sleep", "600"])  # the runner
        LOADED[name] = {"until": time.time() + keep_alive(body), "context": context, "share": share}
        return context

    def reply(self, name, body, messages, form):
        time.sleep(FLAGS.hang)
        if once_more("busy"):
            raise Refused(503, "server busy, please try again.  maximum pending requests exceeded")
        context = self.load(name, body)
        options = body.get("options") or {}
        prompt_tokens = counted(messages)
        if prompt_tokens > context and not FLAGS.cuts and body.get("truncate") is False:
            raise Refused(400, refusal(prompt_tokens, context))
        room = context - min(prompt_tokens, context)
        limit = options.get("num_predict") or -1
        if body.get("shift") is False and not FLAGS.cuts:
            limit = room if limit < 0 else min(limit, room)
        text, tokens, reason = written(messages, body.get("format"), limit, options)
        if FLAGS.midway_error and not body.get("stream", True):
            raise Refused(500, FLAGS.midway_error)
        base = {"model": body["model"], "created_at": now()}
        last = {"done": True, "done_reason": reason, "total_duration": 3_000_000, "load_duration": 1_000_000}
        if not FLAGS.no_counts:
            last |= {"prompt_eval_count": min(prompt_tokens, context), "prompt_eval_duration": 1_000_000}
            last |= {"eval_count": tokens, "eval_duration": 1_000_000}
        if not body.get("stream", True):
            self.json(base | form(text) | last)
            return
        pieces = [base | form(piece) | {"done": False} for piece in re.findall(r"\S+\s*", text)]
        end = {"error": FLAGS.midway_error} if FLAGS.midway_error else base | form("") | last
        self.lines([*(pieces[:1] if FLAGS.midway_error else pieces), end])

    # -- pulling

    def post_api_pull(self, body):
        name = body.get("model") or body.get("name") or ""
        if not name:
            raise Refused(400, "invalid model name")
        if body.get("stream", True):
            self.lines(self.pulled(name))
            return
        last = {}
        for last in self.pulled(name):
            if last is None:
                self.close_connection = True
                return
        self.json(last, 500 if "error" in last else 200)

    def pulled(self, asked):
        yield {"status": "pulling manifest"}
        name = find(asked, [full(each) for each in FLAGS.library])
        if name is None:
            yield {"error": "pull model manifest: file does not exist"}
            return
        if FLAGS.pull_error and once_more("errors"):
            yield {"error": FLAGS.pull_error}
            return
        drops = FLAGS.pull_drop_after is not None and once_more("drops")
        stalls = FLAGS.pull_stall_after is not None and once_more("stalls")
        steps = 0
        arrived = ARRIVED.setdefault(name, dict.fromkeys(LAYERS, 0))
        for layer, total in LAYERS.items():
            sha = digest(f"{name} {layer}")
            line = {"status": f"pulling {sha[:12]}", "digest": f"sha256:{sha}", "total": total}
            yield line | ({"completed": arrived[layer]} if arrived[layer] else {})  # 0 is left out, as Go does
            while arrived[layer] < total:
                arrived[layer] = min(total, arrived[layer] + 400_000)
                yield line | {"completed": arrived[layer]}
                steps += 1
                if drops and steps >= FLAGS.pull_drop_after:
                    yield None
                    return
                while stalls and steps >= FLAGS.pull_stall_after:  # the real one goes on saying so, every 60 ms
                    time.sleep(0.06)
                    yield line | {"completed": arrived[layer]}
                time.sleep(FLAGS.pull_seconds)
        yield {"status": "verifying sha256 digest"}
        if once_more("mismatches"):
            arrived["model"] = 0  # the blob is deleted
            got = digest("another")
            yield {"error": f"digest mismatch, file must be downloaded again: want sha256:{digest(name)}, got sha256:{got}"}
            return
        yield {"status": "writing manifest"}
        if FLAGS.pull_unfinished:
            return
        keep(name)
        yield {"status": "success"}


def keep_alive(body):
    value = body.get("keep_alive", "5m")
    if isinstance(value, str) and (match := re.fullmatch(r"(-?\d+)(ms|s|m|h)", value)):
        value = int(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]
    return 1e9 if float(value) < 0 else float(value)


def refusal(prompt_tokens, context):
    if FLAGS.old_refusal:
        return "the input length exceeds the context length"
    said = f"request ({prompt_tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
    error = {"code": 400, "message": said, "type": "exceed_context_size_error"}
    return json.dumps({"error": error | {"n_prompt_tokens": prompt_tokens, "n_ctx": context}}, separators=(",", ":"))


def backend(path, body):
    request = urllib.request.Request(FLAGS.backend + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=300) as answer:
        return json.load(answer)


def counted(messages):
    if FLAGS.backend:
        prompt = backend("/apply-template", {"messages": messages})["prompt"]
        return len(backend("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"])
    return sum(len(m["content"].split()) + 4 for m in messages)


def written(messages, shape, limit, options):
    """The answer, its tokens, and why it ended."""
    if FLAGS.backend:
        body = {"messages": messages, "temperature": options.get("temperature", 0.8), "seed": options.get("seed", 0)}
        body |= {"max_tokens": limit} if limit > 0 else {}
        if isinstance(shape, dict):
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": shape, "strict": True}}
        said = backend("/v1/chat/completions", body)
        choice = said["choices"][0]
        return choice["message"]["content"], said["usage"]["completion_tokens"], choice["finish_reason"]
    text = (
        json.dumps({key: [] if each.get("type") == "array" else TEXT for key, each in shape["properties"].items()})
        if shape
        else TEXT
    )
    words = re.findall(r"\S+\s*", text)
    if 0 <= limit < len(words):
        return "".join(words[:limit]), limit, "length"
    return text, len(words), "stop"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that go away are what this is for."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main():
    server = Server((FLAGS.host, FLAGS.port), Handler)
    if SERVE:
        sys.stderr.write(f"Listening on {FLAGS.host}:{FLAGS.port} (version {FLAGS.version})\n")
        server.serve_forever()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://{FLAGS.host}:{server.server_port}"}), flush=True)  # noqa: T201
    sys.stdin.read()


main()
