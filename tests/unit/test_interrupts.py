"""Signals stop at once, or where it is asked for; and leave the process as it was."""

import os
import signal
import threading

import pytest

from recbench.interrupts import Interrupts, Terminated


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
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


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
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


def test_outside_the_main_thread_nothing_changes():
    answers = []

    def look():
        with Interrupts().caught():
            answers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert answers == [signal.getsignal(signal.SIGTERM)]
