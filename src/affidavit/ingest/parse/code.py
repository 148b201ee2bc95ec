"""Source code by tree-sitter grammars: one block a function, a class head or a stretch of other code. Never executed.

The text is the file itself, and every character that is not white space lies in a block. Python has a parser of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from affidavit.domain.errors import MissingParserError
from affidavit.domain.records import Block, Parsed
from affidavit.ingest.parse.lines import trim
from affidavit.ingest.parse.plain import plain_blocks

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MOST_CHARACTERS = 1_000_000
"""A longer file gets paragraphs only."""
_MOST_NODES = 200_000
_WRAPPERS = frozenset(
    """class_body export_statement statement_block declaration_list body_statement interface_body enum_body
    field_declaration_list template_declaration enum_body_declarations""".split()
)
"""What holds definitions without defining anything itself."""
_COMMENT = ("//", "/*", "*", "# ", "#[", "@")
"""What a line above a definition begins with that belongs to it: comments, annotations, attributes."""


@dataclass(frozen=True)
class Language:
    """A grammar: its package, the function in it, the nodes that define something, and those of them that hold others."""

    package: str
    definitions: frozenset[str]
    containers: frozenset[str]
    function: str = "language"


def _language(package: str, definitions: str, containers: str, function: str = "language") -> Language:
    inside = frozenset(containers.split())
    return Language(package, frozenset(definitions.split()) | inside, inside, function)


_JS = "function_declaration generator_function_declaration method_definition lexical_declaration"
_TS = _JS + " interface_declaration type_alias_declaration enum_declaration function_signature"
# Not shell: its grammar's scanner reads outside its memory for some scripts, so those are plain text here.
LANGUAGES: Mapping[str, Language] = {
    "text/javascript": _language(
        "tree_sitter_javascript", _JS, "class_declaration class_body export_statement"
    ),
    "text/x-typescript": _language(
        "tree_sitter_typescript",
        _TS,
        "class_declaration abstract_class_declaration class_body export_statement internal_module statement_block",
        "language_typescript",
    ),
    "text/x-tsx": _language(
        "tree_sitter_typescript", _TS, "class_declaration class_body export_statement", "language_tsx"
    ),
    "text/x-go": _language("tree_sitter_go", "function_declaration method_declaration type_declaration", ""),
    "text/x-rust": _language(
        "tree_sitter_rust",
        "function_item struct_item enum_item trait_item macro_definition type_item union_item",
        "impl_item mod_item declaration_list trait_item",
    ),
    "text/x-java": _language(
        "tree_sitter_java",
        "method_declaration constructor_declaration annotation_type_declaration",
        "class_declaration interface_declaration enum_declaration record_declaration class_body interface_body enum_body "
        "enum_body_declarations",
    ),
    "text/x-c": _language(
        "tree_sitter_c", "function_definition struct_specifier enum_specifier type_definition", ""
    ),
    "text/x-c++": _language(
        "tree_sitter_cpp",
        "function_definition enum_specifier alias_declaration",
        "namespace_definition declaration_list class_specifier struct_specifier field_declaration_list template_declaration",
    ),
    "text/x-ruby": _language(
        "tree_sitter_ruby", "method singleton_method", "class module body_statement singleton_class"
    ),
}


@cache
def _parser(media_type: str) -> Parser:
    """The parser of a language. Raises MissingParserError."""
    language = LANGUAGES[media_type]
    try:
        from tree_sitter import Language as Grammar  # noqa: PLC0415  # optional, and 10 ms that others need not wait
        from tree_sitter import Parser  # noqa: PLC0415

        grammar = getattr(importlib.import_module(language.package), language.function)
    except ImportError as error:
        raise MissingParserError(
            "source code in this language cannot be read here.", "pip install 'affidavit[code]'"
        ) from error
    return Parser(Grammar(grammar()))


def preload() -> None:
    """Load every grammar that is installed: a limited process cannot do so later."""
    for media_type in LANGUAGES:
        try:
            _parser(media_type)
        except MissingParserError:
            continue


def parse_code(text: str, name: str, media_type: str) -> Parsed:
    """Blocks of kind ``code``; path: the file's name, then the qualified names. The title is the file's name.

    Raises MissingParserError.
    """
    title = PurePosixPath(name.replace("\\", "/")).name
    parser = _parser(media_type)
    if len(text) > MOST_CHARACTERS:
        return Parsed(text, title, tuple(plain_blocks(text, 0, len(text), (title,))), media_type, {})
    root = parser.parse(text.encode("utf-8", "surrogatepass")).root_node
    regions = _Regions(text, title, LANGUAGES[media_type])
    regions.visit(root)
    return Parsed(text, title, tuple(regions.blocks()), media_type, {})


class _Regions:
    """Which lines belong to which definition. Later ones are inner ones and win."""

    def __init__(self, text: str, title: str, language: Language) -> None:
        self._text = text
        self._language = language
        self._starts = [
            0,
            *(i + 1 for i, letter in enumerate(text) if letter == "\n"),
        ]  # as tree-sitter counts
        self._starts.append(len(text))
        self._owner: list[tuple[tuple[str, ...], int]] = [((title,), 0)] * (len(self._starts) - 1)
        self._count = 0

    def visit(self, root: Node) -> None:
        """Mark the lines of every definition, outer ones first."""
        title = self._owner[0][0]
        stack: list[tuple[Node, tuple[str, ...], str]] = [(root, title, "")]
        visited = 0
        while stack:
            node, path, prefix = stack.pop()
            visited += 1
            if visited > _MOST_NODES:
                return
            if node is not root and node.type in self._language.definitions - _WRAPPERS:
                called = _name(node)
                if called:
                    prefix = f"{prefix}.{called}" if prefix else called
                    path = (*path, prefix)
                    self._mark(node, path)
            if node is root or node.type in self._language.containers:
                stack.extend((child, path, prefix) for child in reversed(node.named_children))

    def _mark(self, node: Node, path: tuple[str, ...]) -> None:
        self._count += 1
        first, last = node.start_point[0], min(node.end_point[0], len(self._owner) - 1)
        outer = self._owner[first]
        while first > 0 and self._owner[first - 1] == outer and self._line(first - 1).startswith(_COMMENT):
            first -= 1
        self._owner[first : last + 1] = [(path, self._count)] * (last + 1 - first)

    def _line(self, number: int) -> str:
        return self._text[self._starts[number] : self._starts[number + 1]].lstrip()

    def blocks(self) -> list[Block]:
        """One block a run of lines of one owner."""
        found: list[Block] = []
        first = 0
        for at in range(1, len(self._owner) + 1):
            if at == len(self._owner) or self._owner[at] != self._owner[first]:
                span = trim(self._text, self._starts[first], self._starts[at])
                if span is not None:
                    found.append(Block("code", *span, self._owner[first][0]))
                first = at
        return found


def _name(node: Node) -> str:
    """What a definition is called, "" if it has no name."""
    for _ in range(8):
        for field in ("name", "declarator", "type"):
            found = node.child_by_field_name(field)
            if found is not None:
                break
        else:
            if (
                node.type in ("lexical_declaration", "type_declaration", "export_statement")
                and node.named_children
            ):
                node = node.named_children[0]
                continue
            return _text(node) if node.type.endswith("identifier") else ""
        node = found
        if not node.named_children or node.type.endswith(("identifier", "_name")):
            return _text(node)
    return ""


def _text(node: Node) -> str:
    return (node.text or b"")[:200].decode("utf-8", "replace")
