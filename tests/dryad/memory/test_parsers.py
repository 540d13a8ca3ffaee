"""Each format becomes text that can be cited, in the sandbox; a file that attacks stays alone."""

import io
import json
import zipfile

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from dryad.memory.parsing.parsers import Format, Parsed
from dryad.memory.passages import cut
from tests.dryad.memory.parse_here import PARSERS


async def parse(kind: Format, content: bytes | str) -> Parsed:
    content = content.encode() if isinstance(content, str) else content
    return (await PARSERS.parse({"the file": (kind, content)}))["the file"]


def sections(parsed: Parsed) -> list[str]:
    return [piece.section for piece in cut(parsed.text)]


def pdf(*pages: str, title: str = "", password: str = "") -> bytes:
    """Return a document of one line a page."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b"")
        page[NameObject("/Contents")] = stream
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(body: str) -> bytes:
    """Return a document with this body."""
    kinds = "http://schemas.openxmlformats.org/package/2006/content-types"
    office = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    part = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{kinds}"><Default Extension="rels" ContentType="application/'
            'vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml"'
            f' ContentType="{office}.document.main+xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{part}" '
            'Target="word/document.xml"/></Relationships>',
        )
        archive.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
        )
    return file.getvalue()


def paragraph(text: str, style: str = "") -> str:
    styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{styled}<w:r><w:t>{text}</w:t></w:r></w:p>"


async def test_a_pdf_is_cited_by_its_pages():
    parsed = await parse("pdf", pdf("Lamps are green.", "", "# Windows are blue.", title="House"))
    assert parsed.title == "House"
    assert sections(parsed) == ["Page 1", "Page 3"]
    assert "Lamps are green." in parsed.text


async def test_a_pdf_without_text_or_with_a_password_says_so():
    assert "has no text" in (await parse("pdf", pdf("", ""))).reason
    assert "encrypted" in (await parse("pdf", pdf("secret", password="x"))).reason
    assert "cannot be read as pdf" in (await parse("pdf", b"%PDF-1.7 no more")).reason


async def test_a_word_document_keeps_its_headings_lists_and_tables():
    cell = f"<w:tc>{paragraph('green')}</w:tc>"
    parsed = await parse(
        "docx",
        docx(
            paragraph("Lamp", "Heading1")
            + paragraph("It shines.")
            + paragraph("Care", "Heading2")
            + f"<w:tbl><w:tr>{cell}{cell}</w:tr></w:tbl>"
        ),
    )
    assert sections(parsed)[-1] == "Lamp > Care"
    assert "It shines." in parsed.text
    assert "| green | green |" in parsed.text


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
async def test_each_row_of_a_table_tells_the_names_of_its_columns(separator: str):
    rows = [separator.join(("name", "colour")), *(f"lamp {n}{separator}green" for n in range(150))]
    parsed = await parse("csv", "\n".join(rows))
    assert sections(parsed)[0] == "Rows 1-100"
    assert sections(parsed)[-1] == "Rows 101-150"
    assert "- name: lamp 149; colour: green" in parsed.text


async def test_json_is_told_by_path_and_lists_of_objects_by_row():
    tree = {"title": "T", "a": {"b": [1, 2]}, "c": [{"d": "x"}], "e": None}
    parsed = await parse("json", json.dumps(tree))
    assert (parsed.title, parsed.text) == ("T", "- title: T\n- a.b: 1, 2\n- c[0].d: x")
    listed = [{"name": "lamp", "parts": {"bulb": True}}, {"name": "door"}]
    expected = "# Items 1-2\n\n- name: lamp; parts.bulb: true\n- name: door"
    assert (await parse("json", json.dumps(listed))).text == expected
    assert (await parse("json", "\n".join(map(json.dumps, listed)))).text == expected
    assert "cannot be read as json" in (await parse("json", "{")).reason


async def test_what_is_not_utf_8_is_said_to_be():
    assert "not in UTF-8" in (await parse("csv", "größe".encode("latin-1"))).reason


async def test_a_file_that_brings_its_parser_down_takes_no_other_with_it():
    """A zip of 800 MB of zeros where a document should be: the sandbox ends it, alone."""
    bomb = io.BytesIO()
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("word/document.xml", "w", force_zip64=True) as stream,
    ):
        for _ in range(8):
            stream.write(bytes(100_000_000))
    found = await PARSERS.parse(
        {"bomb": ("docx", bomb.getvalue()), "good": ("json", b'{"a": "b"}')}
    )
    assert found["good"].text == "- a: b"
    assert found["bomb"].reason
