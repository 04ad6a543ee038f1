"""What the fuzzers share: how many examples, how long one may take, and how bytes are damaged.

``RECBENCH_FUZZ=N`` asks for N times as many examples, drawn anew each time; without it they are always the same.
"""

import os
import signal
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("RECBENCH_FUZZ", "0"))
SECONDS = 20
"""Of the processor, that one example may take."""

PIECES = [
    *(b'"', b'""', b'"\n', b"\n", b"\r", b"\r\n", b"\n\n", b",", b"\t", b";", b"|", b":", b"::", b" ", b"\0", b"\x1f"),
    *(b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", "é".encode(), "\u2028".encode(), b"\x85", b"\x1a"),
    *(b"NA", b"nan", b"inf", b"1e999", b"-", b"9" * 30, b"9" * 5000, b"0.5", b"1_0", "٣".encode(), b"\\", b"\\ud800"),
    *(b"{", b"}", b"[", b"[" * 3000, b"null", b"true", b'"user":', b"(", b")", b"#", b"\\N", b"\x00\x00\x00\x00"),
]


def fuzz(examples: int) -> settings:
    """Return the settings of a fuzzer that has so many examples usually."""
    return settings(
        max_examples=examples * max(TIMES, 1),
        derandomize=not TIMES,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def promptly(seconds: float = SECONDS):
    """Break off what takes more of the processor's time; other processes do not count."""

    def late(*_):
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@st.composite
def damaged(draw, content: bytes, most: int = 3) -> bytes:
    """Return ``content`` with ``most`` changes or fewer."""
    for _ in range(draw(st.integers(0, most))):
        place = draw(st.integers(0, len(content)))
        n_bytes = draw(st.integers(0, 12))
        piece = draw(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=4))
        change = draw(st.sampled_from(["insert", "delete", "replace", "flip", "cut", "repeat", "move"]))
        front, rest = content[:place], content[place:]
        if change == "insert":
            content = front + piece + rest
        elif change == "delete":
            content = front + rest[n_bytes:]
        elif change == "replace":
            content = front + piece + rest[len(piece) :]
        elif change == "flip" and rest:
            content = front + bytes([rest[0] ^ (1 << draw(st.integers(0, 7)))]) + rest[1:]
        elif change == "cut":
            content = front
        elif change == "repeat":
            content = front + rest[:n_bytes] * 3 + rest[n_bytes:]
        elif change == "move":
            content = front + rest[n_bytes:] + rest[:n_bytes]
    return content
