"""Python source: one block a function, a class head or a stretch of other code. Parsed, never executed.

The text is the file itself, and every non-white-space character lies in a block.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from affidavit.domain.canonical import Json
from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.lines import line_starts, trim
from affidavit.ingest.parse.plain import plain_blocks

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

MOST_CHARACTERS = 500_000
"""A longer file gets paragraphs only: a syntax tree takes up to 1 KB a character."""

_WARNINGS = threading.Lock()
"""``catch_warnings`` changes the whole process: two threads at once could leave warnings switched off."""


class Region(NamedTuple):
    """Lines ``[first, last)``, counted from 0, and what they belong to."""

    first: int
    last: int
    path: tuple[str, ...]


def parse_python(text: str, name: str) -> Parsed:
    """Blocks of kind ``code``; path: the module, then the qualified names of class and function.

    A definition's block begins with its decorators and the comment right above. The title is the module's name. Source that
    Python cannot parse becomes paragraphs, with ``syntax_error`` in the metadata.
    """
    module = module_name(name)
    tree, fault = _tree(text)
    if tree is None:
        metadata: dict[str, Json] = {"syntax_error": fault}
        blocks = plain_blocks(text, 0, len(text), (module,) if module else ())
        return Parsed(text, module, tuple(blocks), "text/x-python", metadata)
    starts = line_starts(text)
    found = []
    for region in _regions(tree, text, starts, module):
        span = trim(text, starts[region.first], starts[region.last])
        if span is not None:
            found.append(Block("code", *span, region.path))
    return Parsed(text, module, tuple(found), "text/x-python", {})


def module_name(name: str) -> str:
    """``pkg/billing.py`` is ``billing``, ``pkg/__init__.py`` is ``pkg``."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.parent.name or path.stem if path.stem == "__init__" else path.stem


def _tree(text: str) -> tuple[ast.Module | None, str]:
    """The syntax tree, or None and why not. Nesting deeper than the parser's own limit is a fault like another."""
    if len(text) > MOST_CHARACTERS:
        return None, "too long to be parsed"
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # "invalid escape sequence" is the author's business, not the reader's
            return ast.parse(text), ""
    except SyntaxError as fault:
        return None, f"line {fault.lineno or 1}"
    except (RecursionError, MemoryError):
        return None, "nested too deeply"
    except ValueError as fault:
        return None, str(fault)


def _regions(tree: ast.Module, text: str, starts: list[int], module: str) -> list[Region]:
    """Every line of the file in exactly one region, in order."""
    regions: list[Region] = []
    # (body, lines, path, qualified name); class bodies are visited one after the other, not by recursion
    open_bodies: list[tuple[list[ast.stmt], int, int, tuple[str, ...], str]] = [
        (tree.body, 0, len(starts) - 1, (module,), "")
    ]
    while open_bodies:
        body, first, last, path, prefix = open_bodies.pop()
        at = first
        for node in _definitions(body):
            begin, end = _lines(node, text, starts, at)
            if at < begin:
                regions.append(Region(at, begin, path))
            qualified = prefix + node.name
            inner = (*path, qualified)
            if isinstance(node, ast.ClassDef):
                open_bodies.append((node.body, begin, end, inner, qualified + "."))
            else:
                regions.append(Region(begin, end, inner))
            at = max(at, end)
        if at < last:
            regions.append(Region(at, last, path))
    return sorted(regions)


def _definitions(body: list[ast.stmt]) -> Iterator[_Definition]:
    for node in body:
        if isinstance(node, _Definition):
            yield node


def _lines(node: _Definition, text: str, starts: list[int], floor: int) -> tuple[int, int]:
    """The lines of a definition, its decorators and the comment lines right above, not before line ``floor``."""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    while first > floor and text[starts[first - 1] : starts[first]].lstrip().startswith("#"):
        first -= 1
    last = node.end_lineno if node.end_lineno is not None else node.lineno
    return max(first, floor), last
