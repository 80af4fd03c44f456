"""The breaker: several failures in a row open it, one trial at a time closes it."""

from hypothesis import given
from hypothesis import strategies as st

from llmc.route.breaker import LONGEST_REST, Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, failures: int = 3) -> Breaker:
    breaker = Breaker(failures, 30, clock)
    for i in range(failures):
        assert breaker.admit() == 0
        breaker.failed(f"failure {i}")
    return breaker


def test_it_opens_after_failures_in_a_row_only():
    breaker = Breaker(3, 30, Clock())
    for _ in range(10):
        breaker.failed("refused")
        breaker.failed("refused")
        breaker.succeeded()
    assert breaker.closed
    assert [breaker.failed("refused") for _ in range(3)] == [False, False, True]
    assert not breaker.closed
    assert breaker.admit() is None


def test_after_its_rest_one_request_is_the_trial_and_the_others_wait():
    clock = Clock()
    breaker = opened(clock)
    clock.now = 29.9
    assert breaker.admit() is None
    clock.now = 30.0
    assert [breaker.admit() for _ in range(3)] == [1, None, None]
    breaker.succeeded()
    assert breaker.closed
    assert [breaker.admit() for _ in range(3)] == [0, 0, 0]


def test_a_failed_trial_doubles_the_rest_up_to_a_limit_and_a_good_one_resets_it():
    clock = Clock()
    breaker = opened(clock)
    rests = []
    for _ in range(6):
        clock.now += breaker.wait_seconds()
        trial = breaker.admit()
        assert trial
        breaker.failed("still refused", trial)
        rests.append(breaker.wait_seconds())
    assert rests == [60, 120, 240, 240, 240, 240]
    assert rests[-1] == 30 * LONGEST_REST
    clock.now += breaker.wait_seconds()
    assert breaker.admit()
    breaker.succeeded()
    for _ in range(3):
        breaker.failed("refused")
    assert breaker.wait_seconds() == 30


def test_a_trial_that_says_nothing_gives_its_turn_to_another():
    clock = Clock()
    breaker = opened(clock)
    clock.now = 30
    trial = breaker.admit()
    assert trial
    breaker.withdrew(trial)
    assert breaker.admit()


def test_what_was_sent_before_it_opened_neither_ends_nor_fails_anothers_trial():
    clock = Clock()
    breaker = opened(clock)
    clock.now = 30
    trial = breaker.admit()
    assert trial
    breaker.failed("a late one")
    breaker.withdrew(0)
    breaker.withdrew(trial - 1)
    assert breaker.admit() is None
    assert breaker.wait_seconds() == 0
    breaker.failed("the trial", trial)
    assert breaker.wait_seconds() == 60


def test_requests_sent_before_it_opened_do_not_lengthen_the_rest():
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10
    breaker.failed("a late one")
    assert breaker.wait_seconds() == 20


@given(st.lists(st.sampled_from(["admit", "ok", "fail", "late", "wait"]), max_size=60))
def test_there_is_never_more_than_one_trial(steps):
    clock = Clock()
    breaker = Breaker(2, 10, clock)
    trials = trial = 0
    for step in steps:
        if step == "wait":
            clock.now += 7
        elif step == "admit":
            was_closed = breaker.closed
            if (number := breaker.admit()) and not was_closed:
                trials += 1
                trial = number
                assert trials == 1
        elif step == "late":
            breaker.failed("x")
            breaker.withdrew(0)
        else:
            _ = breaker.succeeded() if step == "ok" else breaker.failed("x", trial)
            trials = 0
