"""Formulas of Office documents (OMML) as one line of text that can be searched and quoted."""

from __future__ import annotations

from affidavit.ingest.parse.xml import Element

_NARY = "\u222b"


def formula(math: Element) -> str:
    """``math`` in a notation near to LaTeX's: ``a^{2}``, ``\\frac{a}{b}``, ``\\sqrt{x}``."""
    return "".join(_written(child) for child in math)


def _written(node: Element) -> str:
    tag = node.tag
    if tag == "m.r":
        return "".join(t.text or "" for t in node.findall("m.t"))
    if tag == "m.f":
        return f"\\frac{{{_part(node, 'm.num')}}}{{{_part(node, 'm.den')}}}"
    if tag in ("m.sSup", "m.sSub", "m.sSubSup", "m.limLow", "m.limUpp"):
        return _part(node, "m.e") + _scripts(node)
    if tag == "m.rad":
        degree = _part(node, "m.deg")
        return f"\\sqrt{f'[{degree}]' if degree else ''}{{{_part(node, 'm.e')}}}"
    if tag == "m.nary":
        return _sign(node, "m.naryPr", _NARY) + _scripts(node) + _part(node, "m.e")
    if tag == "m.d":
        inner = ", ".join(formula(e) for e in node.findall("m.e"))
        return f"{_bracket(node, 'm.begChr', '(')}{inner}{_bracket(node, 'm.endChr', ')')}"
    if tag == "m.func":
        return f"{_part(node, 'm.fName')} {_part(node, 'm.e')}"
    if tag in ("m.mr", "m.eqArr"):
        return " & ".join(formula(e) for e in node.findall("m.e"))
    if tag == "m.m":
        return " \\\\ ".join(_written(row) for row in node.findall("m.mr"))
    return "" if tag.endswith("Pr") else formula(node)


def _part(node: Element, tag: str) -> str:
    found = node.find(tag)
    return "" if found is None else formula(found)


def _scripts(node: Element) -> str:
    below = _part(node, "m.sub") or (_part(node, "m.lim") if node.tag == "m.limLow" else "")
    above = _part(node, "m.sup") or (_part(node, "m.lim") if node.tag == "m.limUpp" else "")
    return (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")


def _sign(node: Element, properties: str, default: str) -> str:
    found = node.find(f"{properties}/m.chr")
    return default if found is None else found.get("m.val", default)


def _bracket(node: Element, which: str, default: str) -> str:
    found = node.find(f"m.dPr/{which}")
    return default if found is None else found.get("m.val", "")
