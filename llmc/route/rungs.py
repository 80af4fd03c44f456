"""The rungs of the ladder, from the profile.

``profile.ladder`` names them in order. ``local`` is what ``model= engine= backend= quant=`` say; every other is a node of
``profile.rungs`` that says what is different there. A rung that cannot be here is left out, and why is told once, not in every
receipt: weights that are not on this machine are never fetched for a fallback.

``view.quality`` decides what is asked of the ladder: ``high`` asks the cloud first where the profile has one, ``low`` asks only
the first rung, and only once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import psutil

from llmc import engine as engines
from llmc import machine
from llmc.engine import Engine, openai
from llmc.errors import EngineUnavailable, UsageError
from llmc.meter import Meter, Unmetered
from llmc.model import weights
from llmc.model.sources import here
from llmc.route.tier import Identity, Tier
from llmc.schema import RunConfig

QUALITIES = ("low", "standard", "high")
ROUTES = ("rules", "history")
FILE_ENGINES = ("embedded", "llama_server")
"""Engines that serve a weights file of ours, so that it can be known without starting them whether a model is here."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung as configured."""

    name: str
    config: RunConfig
    """The whole configuration as it would be if only this rung were asked."""
    absent: str = ""
    """Why it is left out; ``""``: it is not."""

    @property
    def local(self) -> bool:
        return not self.config.engine.cloud

    @property
    def identity(self) -> Identity:
        config = self.config
        if not self.local:
            return Identity(config.provider.model, config.engine.name)
        quant = config.quant.gguf or next(iter(config.model.files))
        return Identity(config.model.name, config.engine.name, config.backend.name, quant)


def check(config: RunConfig) -> None:
    """UsageError for what means nothing, whether or not a model will be asked."""
    if config.view.quality not in QUALITIES:
        raise UsageError(f"view.quality={config.view.quality} is none of {', '.join(QUALITIES)}")
    if config.route not in ROUTES:
        raise UsageError(f"route={config.route} is none of {', '.join(ROUTES)}")


def rungs(config: RunConfig) -> list[Rung]:
    """All that ``profile.ladder`` names, in the order of ``view.quality``; UsageError for what means nothing."""
    check(config)
    found = [_rung(config, name) for name in config.profile.ladder]
    if config.view.quality == "high":
        found.sort(key=lambda rung: rung.local)
    seen: dict[Identity, str] = {}
    for i, rung in enumerate(found):
        if rung.absent:
            continue
        if rung.identity in seen:
            found[i] = replace(rung, absent=f"it is what {seen[rung.identity]} is already")
        seen.setdefault(rung.identity, rung.name)
    if config.view.quality == "low":
        first = next((rung.name for rung in found if not rung.absent), "")
        found = [r if r.name == first or r.absent else replace(r, absent="view.quality=low asks one rung only") for r in found]
    return found


def _rung(config: RunConfig, name: str) -> Rung:
    special = config.profile.rungs.get(name)
    if special is None and name != "local":
        known = ", ".join(["local", *config.profile.rungs])
        raise UsageError(f"profile.ladder names {name!r}; known are {known}", hint="llmc compress --cfg job -p profile")
    if special is None:
        if config.engine.cloud:
            openai.check(config)
        return Rung("cloud" if config.engine.cloud else name, config)
    profile = replace(
        config.profile,
        concurrency=special.concurrency or config.profile.concurrency,
        batch=special.batch or config.profile.batch,
    )
    own = {key: value for key in ("model", "engine", "backend", "quant") if (value := getattr(special, key)) is not None}
    rung = Rung(name, replace(config, profile=profile, **own))
    if (
        special.quant is None and config.quant.gguf not in rung.config.model.files
    ):  # asked for of another model: this has its own
        rung = replace(rung, config=replace(rung.config, quant=replace(config.quant, name="auto", gguf=None)))
    if not rung.local:
        openai.check(rung.config)
    return replace(rung, absent=_absent(rung))


def _absent(rung: Rung) -> str:
    if not rung.local:
        return ""
    engine = rung.config.engine.name
    if engine not in FILE_ENGINES:
        return "" if rung.name == "local" else f"engine={engine} holds its own models: only the one that was named is asked"
    try:
        wanted = weights(rung.config)
    except UsageError as error:
        return error.message
    return "" if here(wanted) else f"its weights are not here (llmc pull model={rung.name})"


def tiers(
    config: RunConfig, *, deployed: Engine | None = None, why_not_deployed: str = "", meter: Meter | None = None
) -> list[Tier]:
    """The rungs that are there, not started. ``deployed`` runs already and is the rung ``local``."""
    meter = meter or Unmetered()
    made: list[Tier] = []
    for rung in rungs(config):
        given = rung.name == "local" and bool(deployed or why_not_deployed)
        if not given and (rung.absent or (rung.name == "local" and _absent(rung))):
            continue
        tier = _tier(rung, meter)
        if given:
            tier.why_closed = "" if deployed else why_not_deployed
            if deployed:
                named = "" if rung.config.engine.needs_file else tier.model_digest  # a file that is not known stays unknown
                tier.engine, tier.model_digest = deployed, deployed.model_digest or named
        elif rung.local and rung.config.engine.needs_file:
            tier.open = _fitting(tier.open, rung, made)
        made.append(tier)
    return made


def _tier(rung: Rung, meter: Meter) -> Tier:
    config = rung.config
    file, digest = None, f"{config.provider.name}:{config.provider.model}"  # no weights are shown: the name is all there is
    if rung.local and config.engine.needs_file:
        wanted = weights(config)
        pulled = here(wanted)
        file, digest = wanted.path, pulled.sha256 if pulled else wanted.file.sha256 or ""
    elif rung.local:
        digest = f"{config.engine.name}:{config.model.name}:{config.quant.name}"  # the engine's own weights, by their name
    return Tier(
        rung.name,
        rung.identity,
        digest,
        rung.local,
        open=lambda: engines.load(config, weights=file, model_digest=digest),
        provider="" if rung.local else config.provider.name,
        address="" if rung.local else config.provider.base_url,
        concurrency=config.profile.concurrency,
        batch=config.profile.batch,
        adaptive=config.profile.adaptive and not rung.local,  # a local engine has as many slots as it was started with
        attempts=config.model.attempts if rung.local else 2,
        counts_tokens=rung.local and config.engine.counts_tokens,
        reasoning_tokens=0 if rung.local else config.provider.reasoning_tokens,
        request_timeout_seconds=config.engine.request_timeout_seconds,
        patience=config.profile.patience,
        meter=meter,
    )


def _fitting(open_engine: Callable[[], Engine] | None, rung: Rung, before: Sequence[Tier]) -> Callable[[], Engine]:
    """Opens the engine only if its model fits into the memory that those before it leave; a card's memory is its engine's to
    judge, which refuses to start."""
    others = list(before)

    def open_if_it_fits() -> Engine:
        assert open_engine is not None
        profile = rung.config.profile
        fit = machine.fit(
            rung.config.model,
            (weights(rung.config).file.bytes, True),
            slots=profile.concurrency,
            slot_context_tokens=profile.slot_context_tokens,
            free_bytes=psutil.virtual_memory().available,
        )
        if rung.config.backend.name == "cpu" and not fit.fits:
            beside = ", ".join(t.identity.model for t in others if t.local and t.engine)
            raise EngineUnavailable(
                f"{rung.config.model.name} needs {fit.needed_bytes >> 20} MiB, {fit.free_bytes >> 20} MiB are free"
                + (f" beside {beside}" if beside else "")
            )
        return open_engine()

    return open_if_it_fits
