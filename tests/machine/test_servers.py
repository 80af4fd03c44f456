"""Servers that others started, and names that tools give: asked on loopback only, read in every form they come in."""

import json
import socket

import pytest

from llmc.machine import amd, servers
from llmc.machine.host import Ran


def test_a_server_elsewhere_is_not_asked():
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen()
        listening.settimeout(0.2)
        assert servers.find("ollama", ("192.0.2.1", 11434)) is None
        assert servers.ollama_address({"OLLAMA_HOST": "gpu.example.org"}) is None


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ("127.0.0.1", 11434)),
        ({"OLLAMA_HOST": ""}, ("127.0.0.1", 11434)),
        ({"OLLAMA_HOST": "0.0.0.0:5000"}, ("127.0.0.1", 5000)),
        ({"OLLAMA_HOST": "http://localhost"}, ("localhost", 80)),
        ({"OLLAMA_HOST": "localhost:1234/path"}, ("localhost", 1234)),
        ({"OLLAMA_HOST": "gpu.example.org", "OLLAMA_ENDPOINT": "http://127.0.0.1:9999"}, ("127.0.0.1", 9999)),
        ({"OLLAMA_HOST": "127.0.0.1:notaport"}, ("127.0.0.1", 11434)),
    ],
)
def test_ollama_host_means_what_it_means_to_ollama(environ, address):
    assert servers.ollama_address(environ) == address


@pytest.mark.parametrize("flags", [("--drop",), ("--not-json",), ("--wrong-shape",), ("--status", "503"), ("--truncate",)])
def test_a_server_that_answers_something_else_is_none_of_ours(fake, flags):
    port = int(fake("llama_server", *flags).url.rpartition(":")[2])
    for engine in ("ollama", "llama_server", "vllm"):
        assert servers.find(engine, ("127.0.0.1", port)) is None


OLD = {"card0": {"VRAM Total Memory (B)": "1", "Card series": "Vega 20 [Radeon VII]", "Card model": "0x66af"}}
NEW = {"card0": {"Card Series": "Radeon RX 7900 XTX", "Card Model": "0x744c", "GFX Version": "gfx1100"}}
STATIC = {"gpu": 0, "asic": {"market_name": "AMD Instinct MI50", "device_id": "0x66A1", "target_graphics_version": "gfx906"}}


@pytest.mark.parametrize(
    ("tool", "said", "names"),
    [
        (0, json.dumps(OLD), {"1002:66af": "Radeon VII"}),
        (
            0,
            "WARNING: low-power state\n\n" + json.dumps(NEW),
            {"1002:744c": "Radeon RX 7900 XTX", "gfx1100": "Radeon RX 7900 XTX"},
        ),
        (1, json.dumps([STATIC]), {"1002:66a1": "AMD Instinct MI50", "gfx906": "AMD Instinct MI50"}),
        (1, json.dumps({"gpu_data": [STATIC]}), {"1002:66a1": "AMD Instinct MI50", "gfx906": "AMD Instinct MI50"}),
        (1, "not json at all", {}),
        (0, "[]", {}),
    ],
)
def test_the_names_of_cards_are_read_in_the_form_of_each_version(tool, said, names):
    answers = [None, None, None]
    answers[tool] = Ran(0, said, "")
    assert amd.names(answers) == names


def test_a_tool_that_failed_names_nothing():
    assert amd.names([Ran(1, json.dumps(NEW), ""), Ran(None, "", ""), None]) == {}
