"""Words that turn the meaning of a sentence: the data behind the polarity and role checks (English, with some German).

A cue acts on the words that follow it in its clause. Cue classes:

    not     negation                        "has not confirmed", "nobody", "without"
    may     possibility                     "may", "could", "possible"
    can     ability or permission           "can", "is allowed to"
    guess   the writer is not certain       "probably", "suspects", "it seems"
    sure    nothing can go wrong            "guaranteed", "certainly"
    ought   advice                          "should", "is recommended"
    plan    not done yet                    "will", "planned", "proposed", "expected"
    must    obligation                      "must", "is required to"
    if      condition or exception          "unless", "except", "provided that", "only with"
    when    weaker words for a condition    "once", "within"; they keep a condition, they do not make one
    all, most, some                         how many
"""


def _phrases(table: str) -> dict[str, str]:
    """``class: phrase, phrase`` per entry (indented lines continue one) as phrase to class."""
    found: dict[str, str] = {}
    for entry in table.strip().replace("\n  ", " ").splitlines():
        name, phrases = entry.split(":", 1)
        found.update({" ".join(phrase.split()): name for phrase in phrases.split(",")})
    return found


CUES: dict[str, str] = _phrases("""
not: not, no, n't, never, nobody, none, nothing, nowhere, neither, nor, without, cannot, no longer, unable, hardly,
  lack, lacks, lacked, refuse to, refuses to, refused to, decline to, declines to, declined to, fail to, fails to,
  failed to, nicht, kein, keine, keinen, keiner, keinem, nie, niemand, ohne, weder
may: may, might, could, possible, possibly, könnte, könnten, optionally, at the discretion
can: can, allowed, permitted, able, kann, können, darf, dürfen, free to
guess: probably, probable, presumed, provisional, provisionally, potential, potentially, perhaps, maybe, likely,
  apparently, presumably, seems, seem, seemed, appears, appear, suspects, suspect, suspected, doubts, doubt, doubted,
  believes, believe, believed, thinks, think, thought, assume, assumes, assumed, supposedly, allegedly, alleged,
  unclear, uncertain, unsure, not certain, not sure, not known, do not know, hopes, hope, guess, reportedly, cannot be
  excluded, cannot be ruled out, nobody knows, no one knows, wahrscheinlich, vermutlich, vielleicht, angeblich
sure: guarantee, guarantees, guaranteed, certainly, definitely, undoubtedly, for certain, for sure
ought: should, ought, recommended, recommends, recommend, recommendation, advised, advises, suggests, suggest,
  advisable, sollte, sollten
plan: will, would, shall, planned, plans, plan, going to, expected, expects, expect, scheduled, intends, intend,
  intended, proposed, proposes, proposal, suggested, suggestion, offered, offers, offer, asked, asks, requested,
  requests, wants, want, wanted, about to, aims, aim, considered, considering, consider, thinking of, thinking about,
  discussed, pending, to be, would like, would prefer, would rather, prefer, prefers, preferred, wish, wishes, wished,
  geplant, soll, sollen, wird, werden, draft, tentatively, try, tries
must: must, have to, has to, had to, required, requires, require, obliged, obligation, need to, needs to, needed,
  mandatory, compulsory, muss, müssen, shall
if: if, unless, except, provided, providing, as long as, only if, only when, only after, only with, only for, only by,
  only on, only to, apart from, except for, but not for, but not more, but only if, but only with, but only when, save
  where, save that, save for, save if, save as, with the exception, subject to, in case, all but, nobody but, no one
  but, everywhere but, everything but, everyone but, anyone but, depending on, conditional, falls, außer, sofern,
  excluding, nur, only in, only until, until
when: when, once, upon, within, above, whenever, otherwise, in the event, depend on, depends on, only, limited to, bei,
  requires, as soon as
all: all, every, each, both, everyone, everybody, everything, always, entire, whole, unanimously, alle, jeder, jede, in
  full, fully
most: most, mostly, majority, usually, generally, largely, meist
some: some, several, few, part of, partly, partially, sometimes, occasionally, many, a number of, einige, manche
""")

UNCERTAIN = frozenset({"may", "can", "guess", "ought", "plan"})

# Families of opposites: the words of one pole, a bar, the words of the other. A negation turns one pole into the other.
_POLES = """
consent: accept approve agree adopt grant endorse ratify | reject refuse decline deny dismiss oppose object veto disagree
permit: allow permit authorize authorise | forbid prohibit ban disallow
rise: rise increase grow raise climb | fall decrease reduce lower shrink
size: bigger longer larger | shorter smaller
speed: fast faster quick quicker | slow slower
level: higher | lower
noise: loud louder noisy | quiet quieter silent
weight: heavier | lighter
heat: hotter warmer | colder cooler
price: dearer expensive costlier | cheap cheaper
quality: better improve | worse worsen deteriorate degrade
over: over above exceed | under below
done: done finish complete resolve implement | pending outstanding unfinished incomplete todo progress
door: open reopen | close shut
begin: start begin launch commence | stop end halt cease
switch: enable activate | disable deactivate
contain: include contain cover | exclude omit
outcome: pass succeed success successful | fail failure
there: present available | absent missing unavailable
list: add introduce | remove delete
trade: buy purchase | sell
come: arrive | leave depart
validity: valid | invalid expired void
truth: true correct | false wrong incorrect
knowing: known certain sure | unknown uncertain unsure
ability: possible able | impossible unable
sign: positive | negative
chance: likely | unlikely
norm: normal | abnormal
secrecy: public | confidential secret private
duty: optional voluntary | mandatory compulsory
belief: think believe | doubt
running: run work | stop hang crash halt
intact: intact | torn tear broken break damaged
injury: unhurt uninjured unharmed safe | injured hurt harmed
keep: keep retain | lose discard
reach: reach | miss
liability: liable responsible | exempt
win: win | lose
give: accept | return
"""

# A view may not use these verbs unless the source does, with this or another word of the same family: each is a claim
# that something has happened.
_DEEDS = """
approve agree accept adopt reject deny dismiss decide choose elect sign buy sell cancel postpone withdraw recall arrest fire
hire promote resign steal praise sue appeal book order reserve
"""
_DEED_FAMILIES = """
decide decision choose choice vote select
accept agree pay
agree agreement deal
cancel call-off abandon
postpone delay defer adjourn
withdraw retract
pay payment transfer settle
deliver delivery arrive ship send
sign signature
hire recruit employ
install fit replace
fix repair solve resolve correct
finish complete end done close
"""

# Words that stand in the same place in a sentence and change it into another one.
_CONTRASTS = """
tenant landlord | buyer seller | vendor customer | employer employee | plaintiff defendant claimant
lender borrower | creditor debtor | licensor licensee | medial lateral | left right | upper lower
anterior posterior | proximal distal | drug placebo | client server | primary secondary backup replica
input output | sender recipient | first second third fourth fifth | north south east west
morning afternoon evening night | old new | before after | mother father son daughter brother sister
male female man woman boy girl | kitchen bedroom bathroom | gain loss | surplus deficit | profit loss
import export | heating water electricity gas | median mean p99 | minimum maximum | internal external
inside outside | monthly yearly weekly daily | gross net | import export | employee contractor | owner tenant
doctor nurse patient | read write | upload download | staging production | hb | debit credit | systolic diastolic
reserve budget | supplier purchaser | insurer insured | teacher parent pupil | vendor buyer
excel csv pdf json xml
"""

# How a number is bounded by the words in front of it.
BOUNDS: dict[str, str] = _phrases("""
about: about, approximately, approx., approx, roughly, around, circa, ca., some, nearly, almost, estimated,
  an estimated, estimated at, estimates at, believed, ungefähr, etwa, rund, ~, ≈
at most: up to, at most, no more than, not more than, maximum, maximum of, max., less than, under, below, fewer than,
  not exceed, limited to, a maximum of, ≤, <, höchstens, bis zu
at least: at least, no less than, not less than, minimum, minimum of, more than, over, above, exceeds, exceed,
  exceeding, >, ≥, mindestens, a minimum of, min.
need: depend on, depends on, if, needs, need, requires, require, benötigt, braucht
exactly: exactly, precisely, genau
""")

BEFORE = frozenset(["before", "by", "until", "till", "to", "vor", "bis"])
AFTER = frozenset(["after", "since", "from", "starting", "nach", "seit", "ab", "following"])


# Words of paraphrase that claim nothing by themselves: where the source lacks them, they do not count against a sentence.
_LIGHT = """
another follow follows following follow-up due goes go going gone get gets getting put puts bring brings come comes came
back way thing things new next previous yet again now right fine just like likes simply currently furthermore additionally
meanwhile because owing thanks reason cause causes caused mean means meaning besides apart together each part item items
anyone everyone someone anybody everybody people everywhere anywhere somewhere overall total altogether key main terms
include includes including involve involves use uses used using need needs needed want wants wanted take takes taken taking
make makes made making keep keeps give gives given see sees seen turn turned remain remains stay stays begin begins run runs
set sets say says said tell told ask asks asked know known state states stated note notes noted point points mention lack lacks
whole only early earlier late later soon time times number amount head apiece some-one around near side
"""
LIGHT = frozenset(_LIGHT.split())


def poles() -> dict[str, list[tuple[str, int]]]:
    """Word to its families and pole (+1 or -1)."""
    found: dict[str, list[tuple[str, int]]] = {}
    for line in _POLES.strip().splitlines():
        family, words = line.split(":")
        for sign, side in zip((1, -1), words.split("|"), strict=True):
            for word in side.split():
                found.setdefault(word, []).append((family, sign))
    return found


def deed_families() -> dict[str, frozenset[str]]:
    """Deed to all words that may stand for it in the source."""
    groups = [frozenset(line.split()) for line in _DEED_FAMILIES.strip().splitlines()]
    for line in _POLES.strip().splitlines():
        words = line.split(":")[1]
        groups += [frozenset(side.split()) for side in (*words.split("|"), words.replace("|", " "))]
    return {deed: frozenset({deed}).union(*(g for g in groups if deed in g)) for deed in _DEEDS.split()}


def contrasts() -> list[frozenset[str]]:
    """Groups of words that are told apart in the same place of a sentence."""
    return [frozenset(group.split()) for group in _CONTRASTS.replace("\n", " | ").split("|") if group.strip()]
