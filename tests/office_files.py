"""Small documents of binary formats, built byte by byte so that tests know what is in them."""

from __future__ import annotations

import io
import zipfile

_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_X = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPES = "application/vnd.openxmlformats-officedocument"


def zipped(members: dict[str, str | bytes]) -> bytes:
    """A zip file of ``members``, in order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def rels(*targets: tuple[str, str, str]) -> str:
    """A relationships part of (id, kind, target)."""
    entries = "".join(
        f'<Relationship Id="{id}" Type="{_REL}/{kind}" Target="{target}"/>' for id, kind, target in targets
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{entries}</Relationships>'


def _package(kind: str, main: str, members: dict[str, str | bytes]) -> bytes:
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Override PartName="/{main}" ContentType="{_TYPES}.{kind}.main+xml"/></Types>'
    )
    return zipped(
        {"[Content_Types].xml": types, "_rels/.rels": rels(("r1", "officeDocument", main)), **members}
    )


def docx(
    body: str, *, styles: str = "", numbering: str = "", comments: str = "", footnotes: str = ""
) -> bytes:
    """A Word document; arguments are the insides of its parts."""
    parts = {"styles": styles, "numbering": numbering, "comments": comments, "footnotes": footnotes}
    members: dict[str, str | bytes] = {
        "word/document.xml": f'<w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>',
        "word/_rels/document.xml.rels": rels(
            *((kind, kind, f"{kind}.xml") for kind, text in parts.items() if text)
        ),
    }
    members |= {
        f"word/{kind}.xml": f'<w:{kind} xmlns:w="{_W}">{text}</w:{kind}>'
        for kind, text in parts.items()
        if text
    }
    return _package("wordprocessingml.document", "word/document.xml", members)


def p(text: str, properties: str = "", run: str = "") -> str:
    """A Word paragraph of one run."""
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


def pptx(slides: list[str], notes: dict[int, str] | None = None, *, hidden: int | None = None) -> bytes:
    """A presentation of slides, given as the insides of their shape trees; ``notes`` by number from 0."""
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="s{n}"/>' for n in range(len(slides)))
    members: dict[str, str | bytes] = {
        "ppt/presentation.xml": f'<p:presentation xmlns:p="{_P}" xmlns:r="{_REL}">'
        f"<p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": rels(
            *((f"s{n}", "slide", f"slides/s{n}.xml") for n in range(len(slides)))
        ),
    }
    for n, shapes in enumerate(slides):
        show = ' show="0"' if n == hidden else ""
        members[f"ppt/slides/s{n}.xml"] = (
            f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}"{show}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>'
        )
    for n, text in (notes or {}).items():
        members[f"ppt/slides/_rels/s{n}.xml.rels"] = rels(("n", "notesSlide", f"../notes{n}.xml"))
        members[f"ppt/notes{n}.xml"] = (
            f'<p:notes xmlns:p="{_P}" xmlns:a="{_A}"><p:cSld><p:spTree>{shape(text, "body")}</p:spTree></p:cSld></p:notes>'
        )
    return _package("presentationml.presentation", "ppt/presentation.xml", members)


def shape(text: str, placeholder: str = "", y: int = 0, paragraph: str = "") -> str:
    """A shape of one paragraph."""
    kind = f'<p:ph type="{placeholder}"/>' if placeholder else ""
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name="x"/><p:cNvSpPr/><p:nvPr>{kind}</p:nvPr></p:nvSpPr>'
        f'<p:spPr><a:xfrm><a:off x="0" y="{y}"/></a:xfrm></p:spPr>'
        f"<p:txBody><a:p>{paragraph}<a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )


def xlsx(sheets: dict[str, str], *, hidden: str = "", styles: str = "") -> bytes:
    """A workbook of sheets, given as the insides of their XML."""
    entries = "".join(
        f'<sheet name="{name}" sheetId="{n + 1}" r:id="s{n}" state="{"hidden" if name == hidden else "visible"}"/>'
        for n, name in enumerate(sheets)
    )
    links = [(f"s{n}", "worksheet", f"s{n}.xml") for n in range(len(sheets))]
    if styles:
        links.append(("st", "styles", "styles.xml"))
    members: dict[str, str | bytes] = {
        "xl/workbook.xml": f'<workbook xmlns="{_X}" xmlns:r="{_REL}"><sheets>{entries}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": rels(*links),
        **{
            f"xl/s{n}.xml": f'<worksheet xmlns="{_X}">{text}</worksheet>'
            for n, text in enumerate(sheets.values())
        },
    }
    if styles:
        members["xl/styles.xml"] = f'<styleSheet xmlns="{_X}">{styles}</styleSheet>'
    return _package("spreadsheetml.sheet", "xl/workbook.xml", members)


def odf(kind: str, body: str, styles: str = "") -> bytes:
    """An OpenDocument file: ``text``, ``spreadsheet`` or ``presentation``."""
    names = "".join(
        f' xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for prefix, name in {
            "office": "office",
            "text": "text",
            "table": "table",
            "draw": "drawing",
            "style": "style",
            "presentation": "presentation",
        }.items()
    )
    content = (
        f'<office:document-content{names} xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    return zipped({"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content})


def epub(chapters: list[str]) -> bytes:
    """A book of chapters in XHTML."""
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>The Book</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/x.opf"/></rootfiles></container>'
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/x.opf": package,
            **{f"OEBPS/c{n}.xhtml": f"<html><body>{text}</body></html>" for n, text in enumerate(chapters)},
        }
    )


def pdf(pages: list[str], *, title: str = "") -> bytes:
    """A PDF of pages, given as content streams; /F is Helvetica, /B bold, /I a black picture."""
    kids = " ".join(f"{10 + 2 * n} 0 R" for n in range(len(pages)))
    objects = {
        1: "<</Type/Catalog/Pages 2 0 R>>",
        2: f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        3: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        4: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold>>",
        5: "<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>"
        "stream\n0\nendstream",
        6: f"<</Title({title})>>",
    }
    for n, content in enumerate(pages):
        objects[10 + 2 * n] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {11 + 2 * n} 0 R"
            "/Resources<</Font<</F 3 0 R/B 4 0 R>>/XObject<</I 5 0 R>>>>>>"
        )
        objects[11 + 2 * n] = f"<</Length {len(content)}>>stream\n{content}\nendstream"
    out = "%PDF-1.4\n"
    places = {}
    for number, text in objects.items():
        places[number] = len(out)
        out += f"{number} 0 obj{text}endobj\n"
    table = len(out)
    out += "xref\n0 1\n0000000000 65535 f \n"
    out += "".join(f"{number} 1\n{at:010} 00000 n \n" for number, at in places.items())
    return (out + f"trailer<</Root 1 0 R/Info 6 0 R/Size 999>>\nstartxref\n{table}\n%%EOF").encode("latin-1")


def line(text: str, x: int, y: int, size: int = 10, font: str = "F", more: str = "") -> str:
    """A line of text for ``pdf``; ``y`` counts from the bottom."""
    return f"BT {more} /{font} {size} Tf {x} {y} Td ({text}) Tj ET\n"
