"""Text in one normal form, block by block: UTF-8, whole records, lines that end in a line feed."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbench.errors import DataError, EmptyDatasetError, EncodingError
from recbench.formats.source import blocks

_NEWLINE, _QUOTE = ord("\n"), ord('"')
_MAX_RECORD_BYTES = 32 << 20
_LINE_END = re.compile("\r\n?|\n")
_OUT = "Take it out of the file."
_ALIKE = "Take it out of the file, or write all line ends alike."
_REMEDIES = {
    "\r": _ALIKE,
    "\n": _ALIKE,
    "\0": f"{_OUT} Where every other byte is one, set dataset.encoding=utf-16-le or utf-16-be.",
}


@dataclass(frozen=True)
class Lines:
    """Some lines of a file.

    Attributes:
        data: UTF-8; ends in a line feed and holds no NUL and no carriage return.
        first: Number of the first one in the file, from 1.
    """

    data: bytes
    first: int

    def number(self, position: int) -> int:
        """Return the number of the line in which the byte at ``position`` stands."""
        return self.first + self.data.count(b"\n", 0, position)


def lines(
    path: Path, encoding: str, *, quotes: bool = False, forbidden: Sequence[str] = (), progress: bool = True
) -> Iterator[Lines]:
    """Yield the lines of a file, many at a time; with ``quotes`` line ends within quotes end no block.

    The first line end decides whether lines end in ``\\n`` and ``\\r\\n``, or, as on old Macintoshs, in ``\\r``.
    A byte order mark is taken off; a last line without an end gets one.

    Args:
        path: The file; see ``source.blocks``.
        encoding: A Python encoding.
        quotes: Whether a line end between two quotes is part of a field.
        forbidden: Characters that the file may not hold, besides NUL and stray line ends.
        progress: Whether to show it.

    Raises:
        DataError: The bytes are not of the encoding, a forbidden character occurs, or a record is longer than 32 MiB;
            the message names the line.
        EmptyDatasetError: The file is empty.
    """
    # Without its end a line may become longer than any block; what is carried over is looked at only once.
    carried: list[bytes] = []
    first, inside, n_carried = 1, False, 0
    for text in _normal(path, _decoded(path, encoding, progress=progress), forbidden):
        piece = text.encode()
        if inside or (quotes and _QUOTE in piece):
            cut, inside = _last_end(piece, inside=inside)
        else:
            cut = piece.rfind(b"\n") + 1
        if cut:
            data = b"".join([*carried, piece[:cut]])
            carried, n_carried = [], 0
            yield Lines(data, first)
            first += data.count(b"\n")
        carried.append(piece[cut:])
        n_carried += len(carried[-1])
        if n_carried > _MAX_RECORD_BYTES:
            likely = " It has a quote that is never closed." if inside else ""
            raise DataError(f"{path}, line {first}: is longer than {_MAX_RECORD_BYTES:,} bytes.{likely}")
    rest = b"".join(carried)
    if rest:
        yield Lines(rest, first)
    elif first == 1:
        raise EmptyDatasetError(f"{path}: is empty (0 bytes).")


def _last_end(piece: bytes, *, inside: bool) -> tuple[int, bool]:
    """Return where the last record of ``piece`` ends (0: none does), and whether its end is within quotes."""
    data = np.frombuffer(piece, np.uint8)
    quoted = within_quotes(data) ^ inside
    ends = np.flatnonzero((data == _NEWLINE) & ~quoted)
    return int(ends[-1]) + 1 if len(ends) else 0, bool(quoted[-1])


def within_quotes(data: np.ndarray) -> np.ndarray:
    """Return for each byte whether an odd number of quotes stands up to it, (N,) bool.

    Then it is inside a quoted field; a doubled quote leaves and enters it.
    """
    # An overflowing sum keeps its last bit.
    return np.cumsum(data == _QUOTE, dtype=np.uint8) % 2 == 1


def _decoded(path: Path, encoding: str, *, progress: bool) -> Iterator[str]:
    """Yield the text of a file without its byte order mark."""
    try:
        "".encode(encoding)  # Refuses what encodes no text: hex, rot13.
        decoder = codecs.getincrementaldecoder(encoding)()
    except (LookupError, ValueError):
        raise DataError(
            f"{path}: {encoding!r} is no encoding that Python knows. Write e.g. utf-8 or latin-1."
        ) from None
    other = "latin-1" if codecs.lookup(encoding).name == "utf-8" else "utf-8"
    n_bytes, n_ends, start = 0, {"\n": 0, "\r": 0}, True
    source = blocks(path, progress=progress)
    while True:
        block = next(source, b"")
        if start and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            other = "utf-16"
        n_pending = len(decoder.getstate()[0])
        try:
            try:
                text = decoder.decode(block, final=not block)
                text.encode()  # Some encodings, utf-7 for one, can write half of a surrogate pair.
            except UnicodeDecodeError as error:
                before = decoder.decode(block[: max(error.start - n_pending, 0)])
                line = 1 + (n_ends["\n"] + before.count("\n") or n_ends["\r"] + before.count("\r"))
                raise EncodingError(
                    f"{path}, line {line}: byte {n_bytes - n_pending + error.start} "
                    f"({error.object[error.start]:#04x}) is not {encoding}.",
                    other,
                ) from None
        except UnicodeError as error:
            raise EncodingError(f"{path}: is not {encoding} ({error}).", other) from None
        n_bytes += len(block)
        for end in n_ends:
            n_ends[end] += text.count(end)
        if start and text:
            text, start = text.removeprefix("\ufeff"), False
        if text:
            yield text
        if not block:
            return


def _normal(path: Path, texts: Iterator[str], forbidden: Sequence[str]) -> Iterator[str]:
    """Yield the text with line feeds alone as line ends, the last one included."""
    end, held, line, last = None, "", 1, "\n"
    while True:
        piece = next(texts, "")
        text = held + piece
        held = ""
        if piece and text.endswith("\r"):
            # Whether a line feed follows is not known yet.
            text, held = text[:-1], "\r"
        if end is None and (found := _LINE_END.search(text)):
            end = found.group()
        unwanted = ["\0", *forbidden]
        if end == "\r":
            unwanted.append("\n")
        else:
            text = text.replace("\r\n", "\n")
            unwanted.append("\r")
        for character in unwanted:
            if character in text:
                before = text[: text.index(character)]
                number = line + before.count("\r" if end == "\r" else "\n")
                remedy = _REMEDIES.get(character, _OUT)
                raise DataError(f"{path}, line {number}: holds the control character {character!r}. {remedy}")
        if end == "\r":
            text = text.replace("\r", "\n")
        line += text.count("\n")
        if text:
            last = text[-1]
            yield text
        if not piece:
            break
    if last != "\n":
        yield "\n"
