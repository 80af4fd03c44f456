"""G0 and G1: did the engine finish its work on the whole text, and is the result worth having?

These are the faults that make a fluent view of half a document: a prompt cut by a small window, an answer cut by the
token limit, thoughts or the instruction itself in place of a summary.
"""

import re

from llmc.fidelity.policy import Policy
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Check, Evidence, Run, failed_check

_MARKUP = re.compile(
    r"</?(?:think|thinking|reasoning|analysis|scratchpad)>|<\|[a-z_]{2,20}\|>|\[/?INST\]|<(?:start|end)_of_turn>"
)
_PREAMBLE = re.compile(
    r"\s*(?:(?:sure|certainly|of course|okay|absolutely)[,!.:]|here(?:'s| is| are) (?:the|a|your|my) "
    r"(?:\w+ ){0,3}(?:summary|gist|text|notes?|view)"
    r"|as an ai\b|(?:summary|gist|tl;?dr)\s*:\s|below is (?:the|a)\b|the summary (?:is|of)\b)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\s*(?:i(?:'m| am)(?: really)? sorry\b|i (?:can(?:no|')t|am unable to|am not able to|won't) "
    r"(?:help|assist|provide|summari[sz]e|comply|do)"
    r"|i do(?:n't| not) have (?:access|enough))",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(?:summari[sz]e the (?:following|text|document)|return (?:only )?(?:valid )?json|"
    r"keep (?:all|the) (?:hard )?facts\b.{0,40}verbatim)",
    re.IGNORECASE,
)
_SEARCHES = 20  # of the source for repeated words: what repeats there may repeat in the view
_REPEATS = 4  # the same ten words four times: a model in a loop


def integrity(source: str, view: str, run: Run | None, policy: Policy) -> Check:
    """The run ended by itself, read the whole prompt, and the view is a text and not its machinery.

    Signs that the source shows as well are its own words and no fault: a document may quote ``<think>``.
    """
    problems: list[Evidence] = []
    if run is not None:
        problems += _of_run(run, policy)
    if not view.strip() and source.strip():
        problems.append(Evidence("the view is empty"))
    for pattern, what in ((_MARKUP, "markup of the model"), (_PROMPT, "words of the instruction")):
        for match in pattern.finditer(view):
            if match[0] not in source:
                problems.append(Evidence(f"{what} in the view: {match[0]!r}", view=Span(*match.span())))
    for pattern, what in ((_PREAMBLE, "an introduction instead of the text"), (_REFUSAL, "a refusal")):
        match_ = pattern.match(view)
        if match_ and match_[0].strip() not in source:
            problems.append(Evidence(f"the view begins with {what}: {match_[0].strip()!r}", view=Span(*match_.span())))
    if looped := _loop(source, view):
        problems.append(looped)
    return failed_check("integrity", problems)


def _of_run(run: Run, policy: Policy) -> list[Evidence]:
    problems = []
    if run.finish_reason != "stop":
        problems.append(Evidence(f"the engine ended with {run.finish_reason!r}, not 'stop': the view may be cut"))
    seen, expected = run.prompt_tokens_seen, run.prompt_tokens_expected
    if seen is not None and expected is not None and seen < expected * policy.min_prompt_seen_share:
        problems.append(Evidence(f"the engine read {seen:,} of {expected:,} prompt tokens: the source was cut"))
    if not run.schema_valid:
        problems.append(Evidence("the answer was not of the shape that was asked for"))
    return problems


def _loop(source: str, view: str) -> Evidence | None:
    """Ten words that the view has ``_REPEATS`` times and the source has not; the source is searched for few of them."""
    words = view.split()
    counts: dict[int, int] = {}
    flat = ""
    searched = 0
    for position in range(len(words) - 9):
        key = words[position : position + 10]
        mark = hash(tuple(key))
        counts[mark] = counts.get(mark, 0) + 1
        if counts[mark] == _REPEATS and searched < _SEARCHES:
            searched += 1
            flat = flat or " ".join(source.split())
            if flat.count(" ".join(key)) < _REPEATS:
                return Evidence(f"the view repeats itself: {' '.join(key)!r} stands there {_REPEATS} times")
    return None


def worth_it(source: str, view: str, policy: Policy, view_tokens: int | None, source_tokens: int | None) -> Check:
    """The view is short enough: under the token limit if there is one, and under ``max_view_share`` of the source."""
    problems = []
    if policy.max_view_tokens is not None and view_tokens is not None and view_tokens > policy.max_view_tokens:
        problems.append(Evidence(f"the view has {view_tokens:,} tokens, the limit is {policy.max_view_tokens:,}"))
    if view_tokens is not None and source_tokens is not None:
        long, short, unit = source_tokens, view_tokens, "tokens"
    else:
        long, short, unit = len(source), len(view), "characters"
    if short > long * policy.max_view_share or short >= long:
        problems.append(
            Evidence(f"the view has {short:,} of {long:,} {unit}, more than {policy.max_view_share:.0%}: it saves nothing")
        )
    return failed_check("worth_it", problems)
