"""llmc pull: the weights a configuration means, downloaded once and checked.

For ``engine=ollama`` the user's Ollama server fetches its own model into its own store, and we watch.
"""

import asyncio
import os
from pathlib import Path

import httpx

from llmc import units
from llmc.engine import ollama
from llmc.engine._http import is_loopback
from llmc.engine._ollama import Installed, OllamaServer
from llmc.engine.served import once
from llmc.model import Weights, sources, weights
from llmc.model.download import require_space
from llmc.model.sources import Pulled
from llmc.report import progress
from llmc.schema import RunConfig
from llmc.target.doctor import Diagnosis


def pull(config: RunConfig, doctor: Diagnosis) -> Pulled | str:
    if config.engine.name == "ollama":
        doctor.require()
        return _by_ollama(config)
    if not config.engine.needs_file:
        doctor.require()
        return f"nothing: {config.engine.name} fetches its own weights when it starts"
    wanted = weights(config)
    doctor.require()
    found = None if config.force else sources.here(wanted)
    if config.engine.url and not found:
        return f"nothing: the server at {config.engine.url} has its own weights"
    if config.dry_run:
        if found:
            return f"nothing: {wanted.name} is at {wanted.path}"
        source = wanted.file.repo or wanted.file.url or " + ".join(wanted.file.packages) or wanted.path
        return f"download {wanted.name}, {units.size(wanted.file.bytes)}, from {source} to {wanted.path}"
    if found:
        return found
    return _file(wanted, config)


def _file(wanted: Weights, config: RunConfig) -> Pulled:
    with progress.download(wanted.name, quiet=config.quiet) as on_bytes:

        def on_wait() -> None:
            progress.say(f"another llmc is downloading {wanted.name}: waiting for it", quiet=config.quiet)

        return sources.pull(wanted, force=config.force, on_bytes=on_bytes, on_wait=on_wait)


def _by_ollama(config: RunConfig) -> Pulled | str:
    if config.dry_run and ollama.starts(config):
        return f"start ollama serve and have it {_what(config)} into its own store, unless it is there"
    own = ollama.own_file(config)
    if own and not config.dry_run:
        _file(own, config)
    with ollama.serving(config) as server:
        return asyncio.run(once(server, lambda there: _watched(there, config)))


async def _watched(server: OllamaServer, config: RunConfig) -> Pulled | str:
    own = ollama.own_file(config)
    if own and not sources.here(own):
        return f"have {server.url} {_what(config)}"
    tag = ollama.tag(config)
    found = await server.find(tag)
    if found and not config.force:
        here = _kept(found, server, 0)
        return f"nothing: {found.name} is in {server.url}" if config.dry_run else here
    file = own.file if own else config.model.files.get(ollama.quantisation(config))
    if config.dry_run:
        size = f", about {units.size(file.bytes)}," if file else ""
        return f"have {server.url} {_what(config)}{size} into its own store"
    store = _store()
    if file and store and is_loopback(httpx.URL(server.url).host):
        require_space(store, file.bytes, "free some of it, or set OLLAMA_MODELS for the server")
    with progress.download(f"{tag} ({server.url})", quiet=config.quiet) as on_bytes:
        if own and (pulled := sources.here(own)):
            return _kept(await server.give(tag, own.path, pulled.sha256, on_bytes), server, 0)
        found, received = await server.pull(tag, on_bytes)
    return _kept(found, server, received)


def _kept(found: Installed, server: OllamaServer, received_bytes: int) -> Pulled:
    return Pulled(found.name, "", found.bytes, found.digest, received_bytes, server.url)


def _what(config: RunConfig) -> str:
    return f"take {own.path}" if (own := ollama.own_file(config)) else f"pull {ollama.tag(config)}"


def _store() -> Path | None:
    """Where an Ollama of this machine keeps its models, if that can be seen; None: the server will say when it is full."""
    given = os.environ.get("OLLAMA_MODELS")
    places = [Path(given)] if given else [Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models")]
    return next((place for place in places if os.access(place, os.X_OK)), None)
