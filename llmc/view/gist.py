"""view=gist: a model writes the view; nothing is ever cut without being seen.

The text is counted with the model's own tokenizer and cut at sentences into chunks that fit one slot together with the prompt
and the answer; the tokens the server says it read are compared with that count, so a server that truncates is found out.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from llmc.errors import ContextOverflow
from llmc.fidelity import Run, analyse
from llmc.route.tier import Asking
from llmc.view import prompt

WORDS_PER_TOKEN = 0.7  # English prose; asking for words is the only length models can follow
CHARS_PER_TOKEN = 5  # the schema's limit on a summary; a little above English prose, so that it rarely acts
MAX_CUTS = 3  # an eighth of what was thought to fit, and it still does not: something else is wrong
CHUNK_SHARE = 0.9  # of the room that a chunk is meant to fill: some passages are denser than the average
JSON_TOKENS = 48  # braces, keys, quotes, indentation


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model wrote, and what it took."""

    text: str
    quotes: tuple[str, ...]
    """Facts it listed that stand in the source word for word."""
    run: Run
    prompt_tokens: int
    output_tokens: int
    seconds: float


async def draft(
    source: str, budget_tokens: int, asking: Asking, *, temperature: float = 0.0, seed: int = 0, wrong: str = ""
) -> Draft:
    """One gist of at most about ``budget_tokens``; EngineError when the engine cannot.

    A server that finds a chunk too long after all (its tokenizer is not ours, or its window is smaller than it says) is given
    half as much at once.
    """
    source_tokens = await asking.count_tokens(source)
    whole = await asking.count_prompt_tokens(prompt.messages("", 100, wrong))
    room = max(64, await asking.context_tokens() - whole - answer_tokens(budget_tokens) - 16)
    for _ in range(MAX_CUTS):
        try:
            return await _read(source, source_tokens, room, budget_tokens, asking, temperature, seed, wrong)
        except ContextOverflow:
            room = min(room, source_tokens) // 2
    return await _read(source, source_tokens, room, budget_tokens, asking, temperature, seed, wrong)


async def _read(
    source: str,
    source_tokens: int,
    room_tokens: int,
    budget_tokens: int,
    asking: Asking,
    temperature: float,
    seed: int,
    wrong: str,
) -> Draft:
    chunks = [chunk async for chunk in _chunks(source, source_tokens, room_tokens, asking)]
    share = max(16, budget_tokens // len(chunks))
    summaries: list[str] = []
    quotes: list[str] = []
    reasons, expected, seen, output, seconds, valid, raw = set(), 0, 0, 0, 0.0, True, []
    for chunk in chunks:
        messages = prompt.messages(chunk, max(10, int(share * WORDS_PER_TOKEN)), wrong)
        prompt_tokens = await asking.count_prompt_tokens(messages)
        answer = await asking.generate(
            messages,
            prompt_tokens=prompt_tokens,
            max_tokens=answer_tokens(share),
            schema=prompt.schema(max_chars=share * CHARS_PER_TOKEN),
            temperature=temperature,
            seed=seed,
        )
        expected += prompt_tokens
        seen += answer.prompt_tokens
        output += answer.output_tokens
        seconds += answer.seconds
        reasons.add(answer.finish_reason)
        raw.append(answer.text)
        try:
            parsed = json.loads(answer.text)
            summary = " ".join(str(parsed["summary"]).split())
            summary.encode()  # the grammar lets a model write half of a surrogate pair
            summaries.append(_whole(summary) if len(parsed["summary"]) >= share * CHARS_PER_TOKEN else summary)
            quotes.extend(str(quote) for quote in parsed["facts"])
        except (ValueError, KeyError, TypeError, RecursionError):
            valid = False
    run = Run(
        finish_reason="stop" if reasons == {"stop"} else "/".join(sorted(reasons - {"stop"})),
        prompt_tokens_expected=expected if asking.tier.counts_tokens else None,  # an estimate proves nothing
        prompt_tokens_seen=seen,
        schema_valid=valid,
        raw="\n".join(raw),
    )
    kept = tuple(dict.fromkeys(q for q in quotes if q and q in source))
    return Draft(" ".join(summaries), kept, run, seen, output, seconds)


def answer_tokens(share: int) -> int:
    """Enough for the longest answer the schema allows, at the 2.5 characters a token that dense text takes."""
    return int((share * CHARS_PER_TOKEN + prompt.MAX_FACTS * prompt.MAX_FACT_CHARS) / 2.5) + JSON_TOKENS


def chunks_at_most(source_tokens: int, room_tokens: int) -> int:
    """Into how many chunks a text is cut, where its sentences are short against the room."""
    return 1 if source_tokens <= room_tokens else -(-source_tokens // int(room_tokens * CHUNK_SHARE))


def _whole(summary: str) -> str:
    """A summary that the schema's limit cut, without its last, broken sentence."""
    end = max(summary.rfind(mark) for mark in (". ", "! ", "? ", "。"))
    return summary[: end + 1]


async def _chunks(source: str, source_tokens: int, room_tokens: int, asking: Asking) -> AsyncIterator[str]:
    """The source, whole, in pieces of at most ``room_tokens`` that end with a sentence where sentences are short enough."""
    if source_tokens <= room_tokens:
        yield source
        return
    target_chars = int(len(source) * room_tokens / source_tokens * CHUNK_SHARE)
    ends = [span.end for span in analyse(source).sentences]
    start = 0
    while start < len(source):
        limit = start + target_chars
        end = max((e for e in ends if start < e <= limit), default=min(limit, len(source)))
        if limit >= len(source):
            end = len(source)
        while await asking.count_tokens(source[start:end]) > room_tokens:  # denser than the average
            end = start + max(1, (end - start) * 2 // 3)
        yield source[start:end]
        start = end
