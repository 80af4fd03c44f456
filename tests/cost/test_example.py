"""The documentation's worked example is what the code computes."""

from pathlib import Path

from llmc.report import cost_example

PAGE = Path(__file__).parents[2] / "docs" / "cost.md"


def test_the_predecessors_table_recomputed_to_the_cent():
    found = {claim.what: (claim.claimed, claim.recomputed) for claim in cost_example.claims()}
    assert found == {
        "cloud, a month": ("$10,000", "$10.00"),
        "local, a month": ("$100", "$101.00"),
        "saved": ("$9,900", "-$91.00"),
        "saved, in percent": ("99%", "-910%"),
        "local wins above": ("not given", "111.1 M tokens a month"),
        "$9,900 are saved at": ("10.0 M tokens", "11.1 billion tokens a month"),
        "most that can be saved": ("99%", "90%"),
        "local price": ("$0.0001 per 1K tokens", "holds at 1.0 billion tokens a month only"),
    }
    why = " ".join(claim.why for claim in cost_example.claims())
    for figure in ("10.0 billion tokens: a slip by 1,000", "local costs 10.1 times", "100.0 M if a further token cost nothing"):
        assert figure in why


def test_the_page_holds_what_the_code_computes():
    text = PAGE.read_text(encoding="utf-8")
    assert cost_example.put_into(text) == text, "python -m llmc.report.cost_example docs/cost.md"
    for figure in ("142.9 M", "250.0 M", "no volume", "1.9 billion", "40.3 M", "$0.68", "$0.37", "-$1.80", "-$0.26"):
        assert figure in text


def test_verify_computes_the_examples_again_without_any_documentation(llmc_inside, tmp_path):
    env = {"LLMC_HOME": str(tmp_path)}
    nothing, examples = llmc_inside("cost", "verify", env=env).ok().json["checks"]
    assert nothing["detail"] == "there is none yet: nothing was recorded"
    assert (examples["passed"], examples["checked"]) == (True, 34)  # lines of the page's example
    assert "no ledger at" in llmc_inside("cost", "verify", "ledger=typo.sqlite3", env=env).error(1)[0]


def test_an_example_that_says_something_else_is_found(monkeypatch, tmp_path):
    said = cost_example.STATED.read_text(encoding="utf-8")
    (tmp_path / "said.md").write_text(said.replace("111.1 M tokens a month |", "11.1 M tokens a month |", 1))
    monkeypatch.setattr(cost_example, "STATED", tmp_path / "said.md")
    found = cost_example.check()
    assert not found.passed
    assert "'| local wins above | not given | 11.1 M tokens a month |" in found.detail
    dearer = tuple((name, i, "0.66" if name == "openai/gpt-4o-mini" else o) for name, i, o in cost_example.PRICES)
    monkeypatch.setattr(cost_example, "PRICES", dearer)
    assert "openai/gpt-4o-mini costs $0.66 per million tokens out, by genai-prices==0.2.3 $0.6" in cost_example.check().detail
