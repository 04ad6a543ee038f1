"""Signals stop at once, or where it is asked for; and leave the process as it was."""

import os
import signal
import threading

import pytest

from recbench.interrupts import Interrupts, Terminated


def send(number):
    os.kill(os.getpid(), number)


ERRORS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGUSR1, Terminated)]


@pytest.mark.parametrize(("number", "error"), ERRORS)
def test_a_signal_stops_at_once_unless_it_is_told_to_wait(number, error):
    interrupts = Interrupts()
    passed = []
    with pytest.raises(error) as raised, interrupts.caught():
        with interrupts.postponed():
            send(number)
            passed.append("waits")
            assert interrupts.asked
        passed.append("still")
        interrupts.stop_if_asked()
    assert type(raised.value) is error and passed == ["waits", "still"]
    with pytest.raises(error), Interrupts().caught():
        send(number)
        pytest.fail("was to stop")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_second_signal_never_waits(second):
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.caught(), interrupts.postponed():
        send(signal.SIGINT)
        send(second)
        pytest.fail("was to stop")


def test_nobody_asked():
    interrupts = Interrupts()
    with interrupts.caught():
        interrupts.stop_if_asked()
    assert not interrupts.asked


def test_what_answered_before_answers_again():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with Interrupts().caught():
        assert signal.getsignal(signal.SIGINT) != before[signal.SIGINT]
    with pytest.raises(KeyboardInterrupt), Interrupts().caught():
        send(signal.SIGTERM)
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts().caught():
            send(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigusr1_is_left_to_whoever_answers_it_and_not_to_an_outer_one_of_ours():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with Interrupts().caught():
            send(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]
    inner = Interrupts()
    with Interrupts().caught(), inner.caught(), inner.postponed():
        send(signal.SIGUSR1)
        assert inner.asked


def test_once_is_once_inside_too():
    """As in a worker: what comes after the first does not break off the keeping of the state."""
    outer, inner, kept = Interrupts(once=True), Interrupts(), []
    with outer.postponed(), outer.caught():
        with pytest.raises(KeyboardInterrupt) as raised, inner.caught():
            try:
                send(signal.SIGINT)
            finally:
                send(signal.SIGINT)
                send(signal.SIGTERM)
                kept.append("state")
        assert type(raised.value) is KeyboardInterrupt and kept
        assert not outer.asked
        send(signal.SIGTERM)
        assert outer.asked
        next_one = Interrupts()
        with pytest.raises(Terminated), next_one.caught():
            next_one.stop_if_asked()


def test_outside_the_main_thread_nothing_changes():
    answers = []

    def look():
        with Interrupts().caught():
            answers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert answers == [signal.getsignal(signal.SIGTERM)]
