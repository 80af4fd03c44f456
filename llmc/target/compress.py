"""llmc compress: documents into an archive, each with a view that passed the check."""

import shlex
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from llmc import codec, pipeline, state, stats, units
from llmc.archive import Archive
from llmc.cache import CACHED_VIEWS, ViewCache
from llmc.documents import MEMORY_BYTES, Selection, check_output
from llmc.engine import Engine
from llmc.engine._http import is_loopback
from llmc.errors import LlmcError, UsageError
from llmc.fidelity import Policy
from llmc.ledger.meter import LedgerMeter, open_meter
from llmc.ledger.preflight import Asked, preflight
from llmc.ledger.rows import Event
from llmc.pipeline import Progress, Summary
from llmc.report import progress as display
from llmc.route import rungs
from llmc.route.history import History
from llmc.runner import Cluster, RemoteLadder
from llmc.schema import BudgetConfig, RunConfig
from llmc.stats import Stats
from llmc.target import doctor
from llmc.target.deploy import Deployed
from llmc.view import probing, prompt
from llmc.view.gist import answer_tokens, chunks_at_most
from llmc.view.ladder import ESTIMATED_BYTES_PER_TOKEN, Ladder, as_written
from llmc.view.reuse import Reuse

VIEWS = ("gist", "extract", "none")


@dataclass(slots=True)
class CompressReport:
    """What this run did, and what the archive holds now."""

    run: Summary
    stats: Stats
    engine: str
    """What served the model, or why none did."""
    budget_exit_code: int = 0
    """3 when a budget's threshold was crossed and ``budget.warn_exit`` is set."""

    @property
    def exit_code(self) -> int:
        return 130 if self.run.interrupted else 1 if self.run.failed else self.budget_exit_code


def resolve(config: RunConfig) -> RunConfig:
    """As the doctor does, who is not asked when no local model is started first."""
    return doctor.resolve(config) if config.view.needs_engine else config


def check(config: RunConfig) -> None:
    """UsageError or InputError for what can be seen to be wrong before anything is started."""
    if not config.input:
        raise UsageError("compress needs an input", hint="llmc compress input=notes/ output=notes.llmc")
    if not config.output:
        name = "archive" if config.input in ("-", ".", "/") else Path(config.input).expanduser().resolve().name
        raise UsageError(
            "compress needs an output", hint=f"llmc compress input={shlex.quote(config.input)} output={shlex.quote(name)}.llmc"
        )
    if config.view.name not in VIEWS:
        raise UsageError(f"view.name={config.view.name} is none of {', '.join(VIEWS)}")
    if config.input_format not in ("auto", "text", "jsonl"):
        raise UsageError(f"input_format={config.input_format} is none of auto, text, jsonl")
    rungs.check(config)
    if config.view.name == "gist":
        rungs.rungs(config)
    if config.workers is not None and config.workers < 1:
        raise UsageError(f"workers={config.workers}: at least 1 is needed")
    if config.view.target_ratio < 1 or config.view.max_tokens < 1:
        asked = f"view.target_ratio={config.view.target_ratio:g} view.max_tokens={config.view.max_tokens}"
        raise UsageError(f"{asked}: each must be at least 1")
    try:
        made = codec.load(config.codec.name, **config.codec.options)
    except TypeError as error:
        raise UsageError(f"codec={config.codec.name}: {error}", hint="llmc compress --cfg job -p codec") from error
    if not isinstance(made.block_bytes, int) or not 1 <= made.block_bytes <= codec.MAX_BLOCK_BYTES:
        raise UsageError(f"codec.options.block_bytes={made.block_bytes} is not between 1 and {codec.MAX_BLOCK_BYTES}")
    Policy.of(config.policy)
    if config.similarity is not None and not 0 < config.similarity <= 1:
        raise UsageError(f"similarity={config.similarity} is not above 0 and at most 1", hint="similarity=null shares no view")
    if config.cache.entries < 1 or config.cache.ttl_seconds <= 0:
        raise UsageError("cache.entries and cache.ttl_seconds must be above 0", hint="cache.enabled=false turns it off")
    if config.runner.name not in ("local", "ray"):
        raise UsageError(f"runner.name={config.runner.name} is none of local, ray")
    if config.runner.name == "ray" and config.profile.offline and not _is_here(config.runner.address):
        raise UsageError(
            f"profile={config.profile.name} sends documents to no other machine: {config.runner.address} is one",
            hint="profile.offline=false lets them travel to the nodes of the cluster",
        )
    if config.runner.name == "ray" and _limited(config.budget):
        raise UsageError("a budget is kept on one machine: runner=ray cannot keep it", hint="runner=local, or budget=none")
    if config.input != "-":  # what is read from there now is gone for compress
        next(iter(selection(config)), None)
    check_output(Path(config.output).expanduser())


def _is_here(address: str | None) -> bool:
    """Whether a cluster's address is of this machine; one that is missing is the cluster's to complain of."""
    return address is None or is_loopback(address.rpartition("://")[2].rpartition(":")[0])


def _limited(budget: BudgetConfig) -> bool:
    limits = (budget.run, budget.day, budget.week, budget.month, budget.project, budget.model)
    return any(limit is not None for each in limits for limit in (each.usd, each.requests, each.tokens))


def selection(config: RunConfig) -> Selection:
    """The documents a configuration means."""
    assert config.input is not None
    return Selection(
        input=config.input,
        include=config.include,
        exclude=config.exclude,
        hidden=config.hidden,
        input_format=config.input_format,
        id_field=config.id_field,
        output=Path(config.output).expanduser() if config.output else None,
    )


def compress(config: RunConfig, deploy: Deployed | LlmcError | str | None) -> CompressReport | str:
    """Store the documents, then give each a view."""
    made = codec.load(config.codec.name, **config.codec.options)
    output = Path(config.output or "").expanduser()
    if config.dry_run:
        return _plan(selection(config), output, config)
    why = deploy.message if isinstance(deploy, LlmcError) else ""
    warnings = [f"the local model was not started: {why}"] if why else []  # said also where the heading is not
    progress = Progress()
    deployed = deploy.engine if isinstance(deploy, Deployed) else None
    with ExitStack() as opened:
        cluster = (
            opened.enter_context(Cluster(config.runner, offline=config.profile.offline))
            if config.runner.name == "ray"
            else None
        )
        ladder, meter = _ladder(config, deployed, why, cluster, progress, warnings, opened)
        opened.enter_context(display.compress(progress, _heading(config, ladder, why), quiet=config.quiet))
        summary = pipeline.compress(
            selection(config),
            output,
            made,
            ladder,
            json_field=config.field,
            max_failures=config.profile.max_failures,
            force=config.force,
            grouping=config.grouping,
            workers=2 * cluster.tasks if cluster else config.workers,  # the next one is there when a task ends
            pool=cluster,
            progress=progress,
        )
        found = stats.collect(Archive.open(output))
        if meter:
            if summary.interrupted:
                meter.interrupted()
            meter.archived(original_bytes=found.original_bytes, archive_bytes=found.exact_bytes + found.view_bytes)
    summary.warnings.extend(warnings)
    return CompressReport(summary, found, _served(ladder, why), meter.exit_code if meter else 0)


def _ladder(
    config: RunConfig,
    deployed: Engine | None,
    why_not: str,
    cluster: Cluster | None,
    progress: Progress,
    warnings: list[str],
    opened: ExitStack,
) -> tuple[Ladder, LedgerMeter | None]:
    """What ``view=`` and the profile mean, with the rungs that are there (on a cluster, with those of its nodes), and all that
    is kept of them from run to run."""
    policy = Policy.of(config.policy)
    why = why_not or "no rung of profile.ladder is here"
    if not config.view.needs_engine:
        if cluster:
            return RemoteLadder(cluster, config, [], reuse=None, why=why), None
        return Ladder(config.view, policy, seed=config.seed), None
    history = opened.enter_context(History(seed=config.seed))

    def paid(event: Event) -> None:
        if event.status == "cached":
            return
        reuse.paid(event.document, event.cost_pico)
        if not cluster:  # there the nodes ask, and nobody learns
            history.paid(event.document, event.tier, event.cost_pico)
        progress.paid(event.tier, event.cost_pico, local=event.backend_kind == "local")

    meter = opened.enter_context(open_meter(config, "compress", on_warning=warnings.append, on_event=paid))
    progress.budget_usd = None if config.budget.run.usd is None else Decimal(config.budget.run.usd)
    views = ViewCache(
        state.cache(CACHED_VIEWS),
        entries=config.cache.entries,
        ttl_seconds=config.cache.ttl_seconds,
        on_warning=warnings.append,
    )
    if config.cache.enabled:
        opened.enter_context(views)
    reuse = Reuse(views if config.cache.enabled else None, similarity=config.similarity)
    tiers = rungs.tiers(config, deployed=deployed, why_not_deployed=why_not, meter=meter)
    if cluster:
        return RemoteLadder(cluster, config, tiers, reuse=reuse, why=why, meter=meter), meter
    opened.callback(lambda: warnings.extend([history.warning] if history.warning else []))
    order = history.order if config.route == "history" else as_written
    ladder = Ladder(
        config.view,
        policy,
        tiers,
        seed=config.seed,
        why_no_model=why,
        order=order,
        history=history,
        meter=meter,
        reuse=reuse,
    )
    return ladder, meter


def _served(ladder: Ladder, why_not: str) -> str:
    asked = [t for t in ladder.tiers if t.tally.tokens or (t.engine and not t.why_closed)]
    models = ", ".join(f"{t.identity.model} on {t.identity.engine}" for t in asked)
    return models or (f"no model: {why_not}" if why_not else "no model asked for")


def _heading(config: RunConfig, ladder: Ladder, why_not: str) -> str:
    models = ", then ".join(str(tier.identity) for tier in ladder.tiers if not tier.why_closed)
    model = models or (f"no model ({why_not})" if why_not else "no model")
    kinds = {"gist": "gist, else extract", "extract": "extract", "none": "none"}[config.view.name]
    return f"{model} · profile {config.profile.name} · view {kinds} · codec {config.codec.name}"


def _plan(chosen: Selection, output: Path, config: RunConfig) -> str:
    if chosen.input == "-":
        return f"store standard input in {output}"
    sizes = array("q")
    for document in chosen:
        sizes.append(0)
        try:
            with document.open() as file:
                while piece := file.read(MEMORY_BYTES):
                    sizes[-1] += len(piece)
        except OSError:
            chosen.skipped["unreadable"] += 1
    documents, size = len(sizes), sum(sizes)
    skipped = "".join(f", {n} {what} skipped" for what, n in chosen.skipped.items())
    what = f"store {units.many(documents, 'document')}, {units.size(size)}, in {output} with {config.codec.name}"
    return "; ".join([f"{what}; view={config.view.name}{skipped}", *_prices(config, sizes)])


def _prices(config: RunConfig, sizes: Sequence[int]) -> Iterator[str]:
    """What the rungs of others may cost for documents of so many bytes."""
    documents = len(sizes)
    if not documents or not config.view.needs_engine:
        return
    source_tokens = sum(sizes) // ESTIMATED_BYTES_PER_TOKEN // documents
    instructions = len(prompt.SYSTEM + prompt.USER) // ESTIMATED_BYTES_PER_TOKEN
    budget = int(min(config.view.max_tokens, max(source_tokens / config.view.target_ratio, config.view.min_tokens)))
    for rung in rungs.rungs(config):
        if not rung.local and not rung.absent:
            provider = rung.config.provider
            attempts = min(config.view.attempts, 2)
            most = answer_tokens(budget) + provider.reasoning_tokens
            room = max(64, provider.context_tokens - instructions - answer_tokens(budget))
            requests = sum(chunks_at_most(size // ESTIMATED_BYTES_PER_TOKEN, room) for size in sizes)
            asked = Asked(
                provider.name,
                provider.model,
                source_tokens * documents // requests + instructions,
                budget * documents // requests,
                most,
                attempts,
                more_requests=requests - documents,
                probe=_probe(config, budget, provider.reasoning_tokens),
            )
            yield preflight(config, documents, asked)


def _probe(config: RunConfig, budget_tokens: int, reasoning_tokens: int) -> tuple[int, int] | None:
    """Tokens of the blanks of one view and of their answers, at most."""
    blanks = Policy.of(config.policy).probes  # each is a sentence of the view
    if not blanks:
        return None
    read = len(probing.SYSTEM) // ESTIMATED_BYTES_PER_TOKEN + budget_tokens * (1 + blanks)
    return read, probing.answer_tokens(blanks) + reasoning_tokens
