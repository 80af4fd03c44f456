"""engine=vllm: ``vllm serve`` with a Hugging Face repository or a folder of safetensors; GGUF files it does not read.

What it computes on is decided by which vLLM is installed, not by an option: its log says what it took. It opens its port only
when the model is loaded. It starts processes that rewrite their titles and outlive it when it is killed; they stay in the
session that llmc made for it (facts of 0.32).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from llmc.engine import Activity, Message, Placement
from llmc.engine._http import ModelServer, OpenAIServer, plain_messages
from llmc.engine.served import Served
from llmc.errors import UsageError
from llmc.schema import RunConfig

# "(EngineCore pid=7) INFO … GPU KV cache size: 46,592 tokens, …"; ROCm is a GPU to it as CUDA is
_PLATFORM = re.compile(r"\b(\w+)( \+ host)? KV cache size: ([\d,]+) tokens")
_WEIGHTS = re.compile(r"Model loading took ([\d.]+) GiB")
_KV = re.compile(r"Available KV cache memory: ([\d.]+) GiB|Explicitly set \(([\d.]+)/[\d.]+\) GiB for KV cache")


class VllmServer(OpenAIServer):
    """vLLM's HTTP interface: OpenAI's, with its own route for tokens."""

    async def count_tokens(self, text: str) -> int:
        return await self._count({"prompt": text, "add_special_tokens": False})

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return await self._count({"messages": plain_messages(messages)})

    async def _count(self, body: dict[str, Any]) -> int:
        answer = await self._request("POST", "/tokenize", {"model": self.model_id, **body})
        with self._shape():
            return int(answer["count"])

    async def context_tokens(self) -> int:
        """The longest prompt and answer that its model takes."""
        answer = await self._request("GET", "/v1/models")
        with self._shape():
            return int(next(m["max_model_len"] for m in answer["data"] if m["id"] == self.model_id))

    async def activity(self) -> Activity:
        metrics = await self._metrics()
        return Activity(
            slots_busy=int(metrics.get("vllm:num_requests_running", 0)),
            queued=int(metrics.get("vllm:num_requests_waiting", 0)),
            prompt_tokens_total=int(metrics.get("vllm:prompt_tokens_total", 0)),
            output_tokens_total=int(metrics.get("vllm:generation_tokens_total", 0)),
            kv_used_share=metrics.get("vllm:kv_cache_usage_perc"),
        )


class Vllm(Served):
    """vLLM with one model."""

    name = "vllm"
    program = "vllm"
    usual_port = 8000
    key_variable = "VLLM_API_KEY"
    image_words = 2
    container_options: ClassVar[dict[str, Any]] = {"ipc": "host"}  # its processes speak through shared memory
    passes = ("HF_TOKEN",)

    def __init__(self, config: RunConfig, *, weights: Path | None, model_digest: str) -> None:
        super().__init__(config, weights=weights, model_digest=model_digest)
        self.source = str(self.weights) if self.weights else repository(config)

    def install_hint(self) -> str:
        return "https://docs.vllm.ai has the wheel for your GPU; then engine.binary=VENV/bin/vllm, or put it on PATH"

    def arguments(self, program: str, port: int, inside: str = "") -> list[str]:
        engine = self.config.engine
        # fmt: off
        return [
            program, "serve", inside or self.source,
            "--served-model-name", self.model,
            "--host", "0.0.0.0" if inside else "127.0.0.1",
            "--port", str(port),
            "--max-model-len", str(self.slot_context_tokens),
            "--max-num-seqs", str(self.slots),
            "--gpu-memory-utilization", str(engine.gpu_memory_fraction),
            "--kv-cache-dtype", engine.kv_cache_type,
            "--enable-prefix-caching" if engine.prefix_caching else "--no-enable-prefix-caching",
            *engine.arguments,
        ]
        # fmt: on

    def environment(self, port: int) -> dict[str, str]:
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        # Without a bound it takes most of the machine's memory for its cache.
        cpu = {"VLLM_CPU_KVCACHE_SPACE": str(self.config.engine.cpu_kv_gib)} if self.config.backend.name == "cpu" else {}
        here = {"HF_HUB_OFFLINE": "1"} if Path(self.source).is_dir() else {}
        return {**quiet, **cpu, **here}

    def client(self, url: str, key: str) -> VllmServer:
        made = client(url, key, self.config.engine.request_timeout_seconds, self.config.profile.offline)
        made.model_id = self.model
        return made

    async def measure(self, server: ModelServer) -> str:
        assert isinstance(server, VllmServer)
        self.slot_context_tokens = min(self.slot_context_tokens, await server.context_tokens())
        return ""

    def in_container(self) -> tuple[str, list[str]]:
        if Path(self.source).is_dir():
            return "/model", [f"{self.source}:/model:ro"]
        return self.source, ["huggingface:/huggingface"]

    def placed(self, log: str) -> Placement:
        return placed(log)


def create(config: RunConfig, *, weights: Path | None, model_digest: str) -> Vllm:
    return Vllm(config, weights=None if config.engine.needs_file is False else weights, model_digest=model_digest)


def client(url: str, key: str, timeout_seconds: float, offline: bool) -> VllmServer:
    """To speak with a server that runs already."""
    return VllmServer(url, key=key, timeout_seconds=timeout_seconds, offline=offline)


def repository(config: RunConfig) -> str:
    """The repository, or folder, of a model's ``quant=``. UsageError when the model is not published that way."""
    known, quant = config.model.vllm, config.quant.name
    if quant == "auto" and known:
        quant = next(iter(known))
    if quant not in known:
        there = " ".join(f"quant={name}" for name in known) or "none"
        raise UsageError(
            f"{config.model.name} is not known to vLLM as quant={config.quant.name}; there is {there}",
            hint=f"a folder or repository of your own: +model.vllm.{quant}=PATH",
        )
    folder = Path(known[quant]).expanduser()
    return str(folder.absolute()) if folder.is_dir() else known[quant]


def placed(log: str) -> Placement:
    """Where vLLM's log says the model is: all of it on the one platform that it took."""
    memory: dict[str, int] = {}
    if found := _WEIGHTS.search(log):
        memory["weights"] = round(float(found[1]) * (1 << 30))
    if found := _KV.search(log):
        memory["kv"] = round(float(found[1] or found[2]) * (1 << 30))
    platform = _PLATFORM.search(log)
    if platform is None:
        return Placement(None, "its log names no platform", memory)
    return Placement(0.0 if platform[1] == "CPU" else 1.0, platform[0], memory)
