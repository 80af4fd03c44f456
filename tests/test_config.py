"""``conf/``: every option of every group is whole, typed and dated."""

import datetime
import re
from dataclasses import replace
from functools import cache

import pytest
import yaml
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from llmc import cli, codec, model, schema
from llmc.errors import UsageError
from llmc.fidelity import Policy
from llmc.schema import RunConfig

FILES = sorted(p for p in cli.CONF.rglob("*.yaml"))
OPTIONS = sorted((p.parent.name, p.stem) for p in FILES if p.parent != cli.CONF and p.parent.name != "target")
MODELS = [name for group, name in OPTIONS if group == "model"]
QUANTS = [name for group, name in OPTIONS if group == "quant"]
MODEL_FILES = [
    (name, quant) for name in MODELS for quant in yaml.safe_load((cli.CONF / "model" / f"{name}.yaml").read_text())["files"]
]


@pytest.fixture(scope="module")
def configured(composed):
    """The typed configuration for some overrides."""
    return cache(lambda *overrides: schema.typed(composed("target=doctor", *overrides)))


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_composes_and_its_first_line_says_what_it_is(configured, group, name):
    config = configured(f"{group}={name}")
    assert isinstance(config, RunConfig)
    assert cli.summary(cli.CONF / group / f"{name}.yaml").endswith(".")


@pytest.mark.parametrize(("group", "name"), [o for o in OPTIONS if o[0] not in ("model", "policy", "experiment")])
def test_an_option_is_named_like_its_file(configured, group, name):
    assert getattr(configured(f"{group}={name}"), group).name == name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(cli.CONF)))
def test_a_config_file_is_a_screen_long(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= (100 if path.name == "config.yaml" else 60)  # the root lists every key there is
    assert max(map(len, lines)) <= 128


@pytest.mark.parametrize(("name", "quant"), MODEL_FILES)
def test_every_file_of_a_model_has_a_size_and_one_origin(configured, name, quant):
    file = configured(f"model={name}").model.files[quant]
    assert file.bytes > 10_000_000
    if file.packages:
        assert file.repo is None
        assert len(file.members) == len(file.packages)
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "")
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin) for pin in file.packages)
    else:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", file.repo or "")
        assert (file.file or "").endswith(".gguf")


@pytest.mark.parametrize("name", MODELS)
def test_a_models_numbers_have_a_source_and_the_date_they_were_checked(configured, name):
    found = configured(f"model={name}").model
    assert datetime.date.fromisoformat(found.checked) >= datetime.date(2026, 1, 1)
    assert found.source
    assert found.licence
    assert found.languages
    assert min(found.parameters, found.layers, found.kv_heads, found.head_dim, found.context_tokens) > 0


@pytest.mark.parametrize("name", MODELS)
def test_a_models_file_is_about_as_large_as_its_parameters_say(configured, name):
    """Between 3 and 17 bits a parameter, or one of the two numbers is wrong."""
    found = configured(f"model={name}").model
    for quant, file in found.files.items():
        assert 3 < 8 * file.bytes / found.parameters < 17, quant


@pytest.mark.parametrize("name", MODELS)
def test_the_quantisation_nobody_asked_for_is_the_first_that_the_model_lists(configured, name):
    config = configured(f"model={name}")
    assert model.weights(config).quant == next(iter(config.model.files))


@pytest.mark.parametrize("quant", QUANTS)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_and_quantisation_give_a_file_or_an_error_that_lists_the_ones_there_are(configured, name, quant):
    config = replace(configured(f"model={name}"), quant=configured(f"quant={quant}").quant)
    if config.quant.gguf is None or config.quant.gguf in config.model.files:
        found = model.weights(config)
        assert found.path.name == f"{config.model.name}-{found.quant}.gguf"
        return
    with pytest.raises(UsageError) as caught:
        model.weights(config)
    for known in config.model.files:
        assert f"quant={known}" in caught.value.message


@pytest.mark.parametrize(("name", "quant"), MODEL_FILES)
def test_every_quantisation_that_a_model_has_can_be_asked_for(quant, name):
    offered = {yaml.safe_load((cli.CONF / "quant" / f"{q}.yaml").read_text())["gguf"] for q in QUANTS}
    assert quant in offered, f"no conf/quant/*.yaml means {quant}"


@pytest.mark.parametrize("name", [name for group, name in OPTIONS if group == "codec"])
def test_a_codecs_options_are_its_constructors(configured, name):
    config = configured(f"codec={name}").codec
    assert codec.load(config.name, **config.options).name == name


def test_the_codecs_of_the_code_and_of_the_configuration_are_the_same():
    assert sorted(codec.NAMES) == [name for group, name in OPTIONS if group == "codec"]


@pytest.mark.parametrize("name", [name for group, name in OPTIONS if group == "policy"])
def test_a_policy_of_the_configuration_is_a_policy(configured, name):
    assert isinstance(Policy.of(configured(f"policy={name}").policy), Policy)


def test_the_standard_policy_is_the_librarys_default(configured):
    assert Policy.of(configured().policy) == Policy()


@pytest.mark.parametrize("group", sorted({group for group, _ in OPTIONS} - {"policy", "experiment"}))
def test_an_unknown_key_in_a_users_own_yaml_is_refused(configured, tmp_path, group):
    (tmp_path / group).mkdir()
    (tmp_path / group / "own.yaml").write_text("# Mine.\nname: own\nspeling: 1\n")
    with pytest.raises(ConfigCompositionException) as caught:
        configured(f"hydra.searchpath=[file://{tmp_path}]", f"{group}=own")
    assert "Key 'speling' not in" in str(caught.value.__cause__ or caught.value)


@pytest.mark.parametrize("override", ["+speling=1", "+view.speling=1", "+model.files.q4_1.speling=1"])
def test_an_unknown_key_that_is_forced_in_is_refused(configured, override):
    with pytest.raises((ConfigCompositionException, OmegaConfBaseException)) as caught:
        configured(override)
    assert "speling" in str(caught.value)


@pytest.mark.parametrize(
    "override", ["profile.concurrency=many", "view.target_ratio=x", "engine.threads=1.5", "hidden=perhaps"]
)
def test_a_value_of_another_type_is_refused(configured, override):
    with pytest.raises(ConfigCompositionException, match=f"Error merging override {override}") as caught:
        configured(override)
    assert isinstance(caught.value.__cause__, ValidationError)


def test_the_defaults_are_what_the_documentation_says(configured):
    config = configured()
    assert (config.model.name, config.engine.name, config.backend.name) == ("smollm2-135m-instruct", "auto", "auto")
    assert (config.codec.name, config.view.name, config.profile.name) == ("zstd", "gist", "local")
    assert config.profile.offline


def test_every_key_of_the_configuration_is_typed_and_every_typed_one_is_in_it():
    written = OmegaConf.to_container(OmegaConf.load(cli.CONF / "config.yaml"))
    groups = {next(iter(d)) for d in written["defaults"] if isinstance(d, dict) and "override" not in next(iter(d))}
    groups = {g for g in groups if not g.startswith("optional ")}
    assert groups | (set(written) - {"defaults", "hydra"}) == {*RunConfig.__dataclass_fields__}
