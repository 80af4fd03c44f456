"""vLLM without a model: the routes llmc uses, with the bodies that `vllm serve` 0.32.0 answered, and its processes.

    python tests/fakes/vllm.py serve MODEL --served-model-name NAME --port PORT ...

Takes vLLM's command line. As the real one it opens its port only when it is ready, starts an engine process with a title of
its own that survives when the first one is killed and does not heed SIGTERM at once, and writes its log to standard error.
What goes wrong is said in the environment, where the real one's options have no place for it:

    FAKE_VLLM_LOG=FILE        print this file, a log of a real failure, and end with code 1
    FAKE_VLLM_PLATFORM=GPU    what it says it computes on; CPU unless set
    FAKE_VLLM_STALL=1         print one line and do nothing more
    FAKE_VLLM_GATE=FILE       open the port only when this file is there
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ENGINE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="smollm2"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="smollm2"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="smollm2",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="smollm2"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="smollm2"} 66.0
vllm:prompt_tokens_created{engine="0",model_name="smollm2"} 1.7954529419355688e+09
vllm:generation_tokens_total{engine="0",model_name="smollm2"} 14.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="smollm2"} 1.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="smollm2"} 1.0
"""


def flags():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-model-len", type=int, required=True)
    parser.add_argument("--max-num-seqs", type=int, required=True)
    parser.add_argument("--gpu-memory-utilization", type=float, required=True)
    parser.add_argument("--kv-cache-dtype", required=True)
    parser.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction, required=True)
    parser.add_argument("--enforce-eager", action="store_true")
    return parser.parse_args()


def say(line):
    sys.stderr.write(f"(EngineCore pid={os.getpid()}) INFO 11-23 16:55:36 [kv_cache_utils.py:2327] {line}\n")
    sys.stderr.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        sys.stderr.write(f'INFO:     127.0.0.1 - "{self.command} {self.path} HTTP/1.1"\n')
        sys.stderr.flush()

    def do_GET(self):
        self.answer({})

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, asked):
        status, said = self.said(asked)
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def said(self, asked):
        flags, key = FLAGS, os.environ.get("VLLM_API_KEY")
        if self.path.startswith("/v1") and key and self.headers.get("Authorization") != f"Bearer {key}":
            return 401, {"error": "Unauthorized"}  # /tokenize, /metrics and /health stay open, as in the real one
        name = flags.served_model_name
        if asked and asked.get("model") != name:
            message = f"The model `{asked.get('model')}` does not exist. Valid aliases: {name}."
            return 404, {"error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}}
        if self.path == "/health":
            return 200, b""
        if self.path == "/metrics":
            return 200, METRICS.encode()
        if self.path == "/v1/models":
            model = {
                "id": name,
                "object": "model",
                "owned_by": "vllm",
                "root": flags.model,
                "max_model_len": flags.max_model_len,
            }
            return 200, {"object": "list", "data": [model]}
        text = asked.get("prompt") or " ".join(m["content"] for m in asked.get("messages", []))
        count = len(text.split())
        if self.path == "/tokenize":
            tokens = list(range(count))
            return 200, {"count": count, "max_model_len": flags.max_model_len, "tokens": tokens, "token_strs": None}
        if count > flags.max_model_len:
            message = (
                f"This model's maximum context length is {flags.max_model_len} tokens. However, your prompt contains at least "
                f"{count} input tokens, which exceeds this limit even without any output tokens."
            )
            return 400, {"error": {"message": message, "type": "BadRequestError", "param": "input_tokens", "code": 400}}
        message = {"role": "assistant", "content": "I'm sorry", "refusal": None, "reasoning": None}
        usage = {"prompt_tokens": 33, "total_tokens": 36, "completion_tokens": 3}
        usage |= {"prompt_tokens_details": None, "completion_tokens_details": None}
        return 200, {
            "id": "chatcmpl-951a60af1c18d1a5",
            "object": "chat.completion",
            "model": name,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "length", "stop_reason": None}],
            "usage": usage,
        }


def main():
    if log := os.environ.get("FAKE_VLLM_LOG"):
        sys.stderr.write(Path(log).read_text())
        sys.exit(1)
    engine = subprocess.Popen([sys.executable, "-c", ENGINE])
    if os.environ.get("FAKE_VLLM_STALL"):
        say("Initializing a V1 LLM engine")
        time.sleep(600)

    def end(*_):
        engine.kill()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    say("Explicitly set (1.0/12.46) GiB for KV cache on node 0.")
    while (gate := os.environ.get("FAKE_VLLM_GATE")) and not Path(gate).exists():
        time.sleep(0.05)
    platform = os.environ.get("FAKE_VLLM_PLATFORM", "CPU")
    say(f"{platform} KV cache size: 46,592 tokens, Maximum concurrency for 1,024 tokens per request: 45.50x")
    ThreadingHTTPServer((FLAGS.host, FLAGS.port), Handler).serve_forever()


FLAGS = flags()
main()
