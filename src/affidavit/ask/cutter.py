"""Claims cut out of an answer while it grows: each as soon as its last bracket has come, and not before.

Strict: the text must begin as ``{"claims": [`` and go on as objects with commas between them. Whatever else comes ends the
cutting, and nothing more is cut. So of a text that is a whole answer in the form asked for exactly its claims are cut, in
order; of any other text only what would have been its first claims (``tests/ask/test_cutter.py`` tries to prove otherwise).
"""

from __future__ import annotations

import re

_BLANK = " \t\n\r"
_BEGINNING = ("{", '"claims"', ":", "[")
_MARKS = re.compile(r'["\\{}\[\]]')
"""What can open or close something within a claim."""
_QUOTE = re.compile(r'["\\]')


class ClaimCutter:
    """One growing answer. ``ended``: nothing more will be cut, because the list is closed or the form was broken."""

    def __init__(self) -> None:
        self.ended = False
        self._text = ""  # what is not dealt with yet
        self._begun = 0  # of _BEGINNING
        self._comma = False  # a comma stood before: a claim has to come
        self._first = True
        self._at = 0  # within a claim: how far it was looked at
        self._depth = 0
        self._quoted = False

    def push(self, text: str) -> list[str]:
        """Take in ``text``; the claims that are whole now, as the JSON text that they are."""
        found: list[str] = []
        if self.ended:
            return found
        self._text += text
        while (claim := self._step()) is not None:
            if claim:
                found.append(claim)
        return found

    def stop(self) -> None:
        """Cut nothing more."""
        self.ended, self._text = True, ""

    def _step(self) -> str | None:
        """A claim, "" for progress without one, None if more text is needed or no more will be cut."""
        if self._depth:
            return self._within()
        self._text = self._text.lstrip(_BLANK)
        if not self._text:
            return None
        if self._begun < len(_BEGINNING):
            return self._beginning()
        return self._between()

    def _beginning(self) -> str | None:
        wanted = _BEGINNING[self._begun]
        if self._text.startswith(wanted):
            self._text = self._text[len(wanted) :]
            self._begun += 1
            return ""
        if not wanted.startswith(self._text):
            self.stop()
        return None

    def _between(self) -> str:
        """A comma where one may stand, or the beginning of a claim; all else ends it."""
        mark = self._text[0]
        if mark == "{" and (self._first or self._comma):
            self._first = self._comma = False
            self._depth, self._at = 1, 1
        elif mark == "," and not self._first and not self._comma:
            self._comma = True
            self._text = self._text[1:]
        else:
            self.stop()
        return ""

    def _within(self) -> str | None:
        while (match := (_QUOTE if self._quoted else _MARKS).search(self._text, self._at)) is not None:
            mark, self._at = match.group(), match.end()
            if mark == "\\":
                if self._at >= len(self._text):  # what it escapes has not come
                    self._at -= 1
                    return None
                self._at += 1
            elif mark == '"':
                self._quoted = not self._quoted
            else:
                self._depth += 1 if mark in "{[" else -1
                if not self._depth:
                    claim, self._text = self._text[: self._at], self._text[self._at :]
                    return claim
        self._at = len(self._text)
        return None
