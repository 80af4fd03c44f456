"""Models and servers: pull, deploy, status, stop, doctor."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmc import units
from llmc.model.sources import Pulled
from llmc.report import one_line
from llmc.report.tables.screen import LEVELS, draw, grid
from llmc.target.deploy import Deployed
from llmc.target.doctor import Diagnosis
from llmc.target.export import Exported
from llmc.target.status import Status, Vram
from llmc.target.stop import Stopped


@draw.register
def _(result: Pulled, console: Console) -> None:
    where = ("server", result.server) if result.server else ("path", result.path)
    how = f"downloaded {units.size(result.downloaded_bytes)}" if result.downloaded_bytes else "was here already"
    grid(console, [(result.name, f"{units.size(result.bytes)}, {how}"), ("sha256", result.sha256), where])


@draw.register
def _(result: Deployed, console: Console) -> None:
    r = result.report
    text = f"loaded in {units.seconds(r['load_seconds'])}, first token after {units.seconds(r['first_token_seconds'])}"
    where = {None: "not proven", 0: "on the CPU"}.get(r["gpu_share"], f"{(r['gpu_share'] or 0):.0%} on the GPU")
    memory = r["memory_bytes"]
    buffers = sum(memory.get(use, 0) for use in ("weights", "kv", "compute"))
    measured = ((buffers, "in buffers"), (memory.get("process"), "resident"), (memory.get("total"), "loaded"))
    held = ", ".join(f"{units.size(n)} {what}" for n, what in measured if n)
    predicted = f"{units.size(memory['predicted'])} predicted" if memory["predicted"] else ""
    rows: list[tuple[str, ...]] = [
        ("works", f"{r['model']} on {r['engine']} ({r['backend']}): {text}"),
        ("where", f"{where}: {r['evidence']}"),
        ("memory", ", ".join(x for x in (held, predicted) if x) or "not said"),
        ("slots", f"{r['slots']} documents at once, {r['slot_context_tokens']} tokens each"),
    ]
    if "url" in r:
        stays = f"stays until llmc stop name={r['name']}" if r["stays"] else "yours: llmc does not stop it"
        rows.append(("server", f"{r['name']} at {r['url']}, {stays}"))
    grid(console, [*rows, ("next", "llmc compress input=… output=….llmc")])


@draw.register
def _(result: Exported, console: Console) -> None:
    grid(console, [("written", result.output), ("serves", result.url), ("next", result.next)])


@draw.register
def _(result: Stopped, console: Console) -> None:
    if not result.servers:
        console.print("nothing to stop: no server is on record")
        return
    rows = [(s.name, s.outcome, f"{s.processes} process{'es' * (s.processes != 1)}") for s in result.servers]
    grid(console, rows)


@draw.register
def _(result: Status, console: Console) -> None:
    console.print(servers(result))


def servers(result: Status) -> Table | Text:
    if not result.servers:
        return Text("no server is on record:  llmc deploy engine=llama_server")
    table = Table.grid(padding=(0, 2))
    for s in result.servers:
        a = s.activity
        doing = [
            f"{a.slots_busy}/{s.slots} busy" if a.slots_busy is not None else f"{s.slots} slots",
            f"{a.queued} queued" if a.queued else "",
            "model not loaded: the next request loads it" if a.loaded is False else "",
            f"{s.output_tokens_per_second:.0f} tokens/s" if s.output_tokens_per_second is not None else "",
            f"{units.count(a.output_tokens_total)} tokens written" if a.output_tokens_total is not None else "",
            f"cache {a.kv_used_share:.0%} full" if a.kv_used_share is not None else "",
            f"{units.many(s.errors_logged, 'error')} in its log" if s.errors_logged else "",
        ]
        holds = [
            f"up {units.seconds(s.up_seconds)}" if s.up_seconds is not None else "",
            f"process {s.pid}" if s.pid else "" if s.ours else "not started by llmc",
            f"{units.size(s.resident_bytes)} resident" if s.resident_bytes else "",
            f"{units.size(s.predicted_bytes)} predicted" if s.predicted_bytes else "",
            f"{s.gpu_share:.0%} on the GPU" if s.gpu_share else "",
            _video_memory(s.vram) if s.vram else "",
        ]
        what = f"{s.model} on {s.engine} ({s.backend})  {s.url}"
        lines = [what, ", ".join(filter(None, doing)) if s.state == "ready" else s.reason, ", ".join(filter(None, holds))]
        lines += [f"-> {s.next}"] if s.next else []
        state = Text(s.state, style={"ready": "green", "starting": "yellow"}.get(s.state, "red"))
        table.add_row(Text(s.name, style="bold"), state, Text("\n".join(one_line(x) for x in lines if x)))
    return table


@draw.register
def _(result: Diagnosis, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for overflow in ("ellipsis", "ellipsis", "fold"):
        table.add_column(overflow=overflow)
    for finding in result.findings:
        fix = f"\n-> {finding.fix}" if finding.fix else ""
        table.add_row(Text(finding.level, style=LEVELS[finding.level]), finding.subject, Text(finding.text + fix))
    console.print(table)
    problems = sum(f.level == "problem" for f in result.findings)
    if problems:
        console.print(
            Text(f"{problems} problem{'s' * (problems != 1)}: mend {'them' if problems > 1 else 'it'}, then  {result.next}")
        )
    else:
        console.print(Text(f"this works:  {result.next}"))


def _video_memory(vram: Vram) -> str:
    if vram.used_bytes is None:
        return f"VRAM not known ({vram.source})"
    of = f" of {units.memory(vram.total_bytes)}" if vram.total_bytes else ""
    return f"{units.memory(vram.used_bytes)}{of} VRAM ({vram.source})"
