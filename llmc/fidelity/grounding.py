"""Grounding, coverage: no view sentence that the source does not carry, and no source window that the view passes over.

Grounding. A view clause is grounded when the source sentences it speaks of hold at least ``grounded_share`` of its key
weight. A clause of two or three words is judged with its sentence. And a view sentence may not be put together from all over
the text: three neighbouring source sentences hold at least ``compact_share`` of it, where the policy asks for that.

Coverage. The source is cut into windows of equal size, in words. A view of one tenth of the length cannot speak of
every tenth sentence's neighbours, so a window is ``max(window_tokens, 2.5 * 25 * r)`` words, where r is the compression
(source words divided by view words) and 25 words are a long sentence: the view has words for about two and a half
sentences per window. A window is covered when some view clause aligns to a sentence in it. The check passes when
at least ``coverage_share`` (0.85) of the windows are covered, when the view's own words hold a small share of the different
words of the source too (``SAID_SHARE``: a short source is one window, which a single word would touch), and when the view
is not only a description of the text ("This report describes ...").
"""

import re

from llmc.fidelity.align import Key
from llmc.fidelity.align import known as _known
from llmc.fidelity.lexicon import LIGHT
from llmc.fidelity.pairing import Pairing, Part
from llmc.fidelity.policy import Policy
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Check, Evidence, failed_check

UNKNOWN_RUN = 4  # paraphrase changes a word or two in a row; four are news
STRETCH = 3  # neighbouring source sentences that one view sentence may draw on
NEWS_RUN = 2  # words in a row that are foreign to what the sentence was made of
NEWS_WORDS = 2
SHORT_SENTENCE = 5  # different content words; fewer say too little to be judged by where they stand
COMMON = 8  # sentences; a word that stands in more of them is taken to stand everywhere
SAID_SHARE = 0.1  # times 0.85: 8% of the source's different content words; good views of a third of its length hold 27% or more
SAID_WORDS = 12  # enough of them for a source of any length: one sentence
PARTLY = 0.33  # of a clause's weight; below it the clause is news, whatever stands around it
_WORDS_PER_SENTENCE = 25
_SENTENCES_PER_WINDOW = 2.5
_TOPIC = re.compile(
    r"\s*(?:in )?(?:the|this|that|a)\s(?:\w+[ -]){0,3}?(?:text|document|e-?mail|mail|message|letter|"
    r"note|notes|report|log|chat|thread|conversation|"
    r"discussion|meeting|minutes|article|changelog|summary|statement|notice|transcript|release notes)\b"
    r"(?:\s(?:from|of|dated|on)\s[^.]{1,40}?)?\s"
    r"(?:is about|describes?|discusses?|discussed|covers?|covered|deals? with|talks? about|concerns?|provides?|"
    r"summari[sz]es?|outlines?|details?|mentions?|contains?|"
    r"explains? how|presents?|includes? information)\b",
    re.IGNORECASE,
)


def grounding(pairing: Pairing, policy: Policy) -> Check:
    """Every clause of the view is carried by source sentences."""
    problems = []
    for part in pairing.parts:
        if run := _unknown_run(pairing, part):
            problems.append(
                Evidence(f"nothing in the source speaks of {pairing.view.text[run.start : run.end][:120]!r}", view=run)
            )
            continue
        if news := _news(pairing, part):
            problems.append(Evidence(f"the source does not say {pairing.view.text[news.start : news.end][:120]!r}", view=news))
            continue
        share = grounded(pairing, part)
        if share < policy.grounded_share:
            text = pairing.view.text[part.span.start : part.span.end]
            best = part.aligned[0].sentence if part.aligned else None
            problems.append(
                Evidence(
                    f"the source holds {share:.0%} of the words of {text[:120]!r}, not {policy.grounded_share:.0%}",
                    source=pairing.source.sentences[best] if best is not None else None,
                    view=part.span,
                )
            )
    for number in pairing.own if policy.compact_share else ():
        span = pairing.view.sentences[number]
        share = 1.0 if span in pairing.trace.settled else _compact(pairing, pairing.view.keys_in(span))
        if share < policy.compact_share:
            problems.append(
                Evidence(
                    f"no {STRETCH} neighbouring sentences hold more than {share:.0%} of the words of "
                    f"{pairing.view.text[span.start : span.end][:120]!r}, not {policy.compact_share:.0%}",
                    view=span,
                )
            )
    return failed_check("grounding", problems)


def _compact(pairing: Pairing, keys: list[Key]) -> float:
    """The largest share of the key weight that one stretch of the source holds; 1 for few words."""
    index = pairing.index
    names = {_known(key, index) for key in keys}
    if len(names) < SHORT_SENTENCE:
        return 1.0
    anywhere = 0.0
    held: dict[int, float] = {}
    for name in names:
        posting = index.postings.get(name, [])
        weight = index.weight(name)
        if len(posting) > COMMON:
            anywhere += weight
            continue
        for start in {place - step for place in posting for step in range(STRETCH)}:
            held[start] = held.get(start, 0.0) + weight
    return (anywhere + max(held.values(), default=0.0)) / (sum(index.weight(name) for name in names) or 1.0)


def _unknown_run(pairing: Pairing, part: Part) -> Span | None:
    """``UNKNOWN_RUN`` content words in a row that the source lacks: a statement of its own, however it is joined."""
    run: list[Key] = []
    for key in part.keys:
        run = [*run, key] if key.key not in pairing.index.postings and key.kind == "word" else []
        if len(run) == UNKNOWN_RUN:
            return Span(run[0].start, run[-1].end)
    return None


def _news(pairing: Pairing, part: Part) -> Span | None:
    """A clause in a shortened sentence that has words of its own where the others have the source's."""
    trace = pairing.trace
    if part.sentence not in trace.traced:
        return None
    run: list[Key] = []
    home = trace.home(part.sentence)
    for key in part.keys:
        foreign = key.start in trace.alone and key.kind == "word" and key.lower not in LIGHT and key.key not in pairing.actors
        foreign = foreign and not any({place - 1, place, place + 1} & home for place in trace.sentences_of(key))
        run = [*run, key] if foreign else []
        if len(run) == NEWS_RUN:
            return Span(run[0].start, run[-1].end)
    if part.span not in trace.loose:
        return None
    own = [key for key in part.keys if key.start not in trace.taken and key.lower not in LIGHT]
    return part.span if len(own) >= NEWS_WORDS and 2 * len(own) >= len(part.keys) else None


def grounded(pairing: Pairing, part: Part) -> float:
    """Share of the key weight that the aligned source sentences hold together; short clauses count with their sentence.

    A clause that is carried in part is judged with its sentence too: paraphrase is not spread evenly.
    """
    if len(part.keys) <= 3:
        return _held(pairing, pairing.view.keys_in(part.sentence), pairing.parts_of[part.sentence])
    share = _held(pairing, part.keys, [part])
    if share < PARTLY:
        return share
    return max(share, _held(pairing, pairing.view.keys_in(part.sentence), pairing.parts_of[part.sentence]))


def _held(pairing: Pairing, keys: list[Key], mates: list[Part]) -> float:
    index = pairing.index
    telling = [key for key in keys if key.key in index.postings or key.lower not in LIGHT] or keys
    names = {_known(key, index) for key in telling}
    wanted = {name: index.weight(name) for name in names}
    near = {a.sentence for other in mates for a in other.aligned[:3]}
    near |= {n + step for n in near for step in (-1, 1)}
    held = sum(
        weight
        for name, weight in wanted.items()
        if (posting := index.postings.get(name)) and (len(posting) > 8 or near.intersection(posting))
    )
    total = sum(wanted.values())
    return held / total if total else 1.0


def coverage(pairing: Pairing, policy: Policy) -> Check:
    """The view speaks of (nearly) all windows of the source, and says something rather than naming a topic."""
    source, view = pairing.source, pairing.view
    problems = []
    own = [view.sentences[n] for n in pairing.own]
    topics = [span for span in own if _TOPIC.match(view.text, span.start, span.end)]
    if topics and len(own) + len(pairing.copied) <= 2 * len(topics):
        problems.append(Evidence("the view names the topic instead of saying what the text says", view=topics[0]))
    if not source.sentences:
        return failed_check("coverage", problems)
    said = {key.key for span in view.sentences for key in view.keys_in(span)} & pairing.index.postings.keys()
    there = len({key.key for key in source.keys})
    if len(said) < min(SAID_WORDS, SAID_SHARE * there) * policy.coverage_share:
        problems.append(Evidence(f"the view's own words hold {len(said)} of the {there} different words of the source"))
    windows = _windows(pairing, policy)
    touched = {a.sentence for part in pairing.parts for a in part.aligned[:2] if a.share >= 0.25} | {
        number for same in pairing.copied.values() for number in same
    }
    ends = [index for index, _ in windows]
    open_windows = []
    first = 0
    for last, span in zip(ends, (span for _, span in windows), strict=True):
        if not any(sentence in touched for sentence in range(first, last + 1)):
            open_windows.append(span)
        first = last + 1
    covered = 1 - len(open_windows) / len(windows)
    if covered < policy.coverage_share:
        message = (
            f"the view touches {covered:.0%} of {len(windows)} windows, not {policy.coverage_share:.0%}; nothing of this one"
        )
        problems += [Evidence(message, source=span) for span in open_windows]
    return failed_check("coverage", problems)


def _windows(pairing: Pairing, policy: Policy) -> list[tuple[int, Span]]:
    """Number of the last sentence and the span of each window; a short rest belongs to the window before it."""
    source, view = pairing.source, pairing.view
    own = sum(len(view.keys_in(span)) for span in view.sentences)
    ratio = max(1.0, len(source.keys) / max(1, own))
    size = max(policy.window_tokens, _SENTENCES_PER_WINDOW * _WORDS_PER_SENTENCE * ratio)
    windows: list[tuple[int, Span]] = []
    words, start = 0, source.sentences[0].start
    for number, span in enumerate(source.sentences):
        words += 1 + source.text.count(" ", span.start, span.end)
        if words >= size:
            windows.append((number, Span(start, span.end)))
            words = 0
            if number + 1 < len(source.sentences):
                start = source.sentences[number + 1].start
    last = len(source.sentences) - 1
    if not windows:
        return [(last, Span(start, source.sentences[-1].end))]
    if windows[-1][0] < last:
        if words >= size / 2:
            windows.append((last, Span(start, source.sentences[-1].end)))
        else:
            windows[-1] = (last, Span(windows[-1][1].start, source.sentences[-1].end))
    return windows
