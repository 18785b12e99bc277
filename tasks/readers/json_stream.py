"""JSON documents too large to sit in memory: their items one by one.

Datasets come as one JSON list of hundreds of thousands of objects, or as an object that holds such lists by split.
Items are decoded by the standard library's scanner from a window that slides over the file.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import opened

from radbench.errors import DataError

_WINDOW = 1 << 20
_LONGEST_WORD = 16  # of JSON's own: false, -Infinity, an escape
_SPACE = re.compile(r"[ \t\r\n]*")


def json_list(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(position from 1, object)`` of a file that is one list of objects. Raises :class:`DataError`."""
    with _Window(path) as window:
        window.expect("[", "a list of objects")
        yield from _objects(window, path, "item")
        window.expect_end()


def json_lists(path: Path, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(position from 1, object)`` of the list under a key of a file that is one object of lists, such as splits.

    Raises :class:`DataError` where the file has no such key.
    """
    keys: list[str] = []
    for name, position, value in _nested(path, key):
        if not keys or keys[-1] != name:
            keys.append(name)
        if name == key and position:
            yield position, value
    if key not in keys:
        raise DataError(f"{path}: no key '{key}'", found=f"it has {', '.join(keys) or 'none'}")


def json_members(path: Path) -> Iterator[tuple[str, Any]]:
    """``(key, value)`` of a file that is one object, in order; a value is decoded whole. Raises :class:`DataError`."""
    with _Window(path) as window:
        window.expect("{", "an object")
        if not window.skip("}"):
            for position in count(1):  # keys may be study ids: errors tell the position
                key = window.value(f"key {position}")
                window.expect(":", f"a colon after key {position}")
                yield str(key), window.value(f"the value of key {position}")
                if not window.more("}"):
                    break
        window.expect_end()


def json_document(path: Path) -> Any:
    """A small JSON file as a whole. Raises :class:`DataError`."""
    with _Window(path) as window:
        value = window.value("a document")
        window.expect_end()
    return value


def _nested(path: Path, asked: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    with _Window(path) as window:
        window.expect("{", "an object of lists")
        if not window.skip("}"):
            for number in count(1):  # keys may be study ids: errors tell the position, or the key that was asked for
                key = str(window.value(f"key {number}"))
                told = f"the key '{key}'" if key == asked else f"key {number}"
                window.expect(":", f"a colon after {told}")
                window.expect("[", f"a list under {told}")
                yield key, 0, {}  # the key is there, even if its list is empty
                for position, item in _objects(window, path, key if key == asked else f"{told}, item"):
                    yield key, position, item
                if not window.more("}"):
                    break
        window.expect_end()


def _objects(window: _Window, path: Path, what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a list whose opening bracket has been read."""
    if window.skip("]"):
        return
    position = 0
    while True:
        position += 1
        item = window.value(f"{what} {position}")
        if type(item) is not dict:
            raise DataError(f"{path}, {what} {position}: expected a JSON object, found {type(item).__name__}")
        yield position, item
        if not window.more("]"):
            return


class _Window:
    """A stretch of the text that has been read and not yet decoded."""

    def __init__(self, path: Path) -> None:
        self._path, self._scan = path, json.JSONDecoder().scan_once  # type: ignore[attr-defined]
        self._text, self._at, self._passed, self._ended = "", 0, 0, False

    def __enter__(self) -> _Window:
        try:
            self._file = opened(self._path)
        except OSError as error:
            raise DataError(f"{self._path}: {error.strerror}") from None
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def value(self, what: str) -> Any:
        """The next value, read on until it is whole. ``what`` names it in errors."""
        self._space()
        size = _WINDOW
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except (StopIteration, json.JSONDecodeError) as error:
                if self._surely_broken(error) or not self._read(size):
                    raise self._fault(what, error) from None
                size *= 2
                continue
            except RecursionError:
                raise DataError(f"{self._path}, {what}: nested too deeply") from None
            if end == len(self._text) and self._read(size):
                continue  # a number may go on behind the window
            self._at = end
            return value

    def _surely_broken(self, error: StopIteration | json.JSONDecodeError) -> bool:
        """Half a value looks like a broken one; not where the fault lies well before the end of what was read."""
        if isinstance(error, StopIteration):
            return int(error.value) < len(self._text) - _LONGEST_WORD
        return "Unterminated" not in error.msg and error.pos < len(self._text) - _LONGEST_WORD

    def expect(self, mark: str, what: str) -> None:
        if not self.skip(mark):
            found = repr(self._text[self._at]) if self._at < len(self._text) else "the end of the file"
            raise DataError(f"{self._path}, character {self._passed + self._at + 1}: expected {what}, found {found}")

    def expect_end(self) -> None:
        self._space()
        if self._at < len(self._text):
            raise DataError(
                f"{self._path}, character {self._passed + self._at + 1}: text after the end of the document"
            )

    def skip(self, mark: str) -> bool:
        self._space()
        if self._text[self._at : self._at + 1] != mark:
            return False
        self._at += 1
        return True

    def more(self, closing: str) -> bool:
        """Behind a value: True at a comma, False at the closing mark."""
        if self.skip(","):
            return True
        self.expect(closing, f"a comma or '{closing}'")
        return False

    def _space(self) -> None:
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._read(_WINDOW):
                return

    def _read(self, size: int) -> bool:
        """Let the window slide on. False where the file has ended."""
        if self._ended:
            return False
        try:
            more = self._file.read(size)
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path}: not UTF-8 ({error.reason})", remedy="save it as UTF-8") from None
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{self._path}: cannot be read ({error})", remedy="download the file again") from None
        self._ended = not more
        self._passed += self._at
        self._text, self._at = self._text[self._at :] + more, 0
        return not self._ended

    def _fault(self, what: str, error: StopIteration | json.JSONDecodeError) -> DataError:
        at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
        why = error.msg if isinstance(error, json.JSONDecodeError) else "no value"
        return DataError(f"{self._path}, {what}: not JSON ({why} at character {self._passed + at + 1})")
