"""Makes blocks.bin of a table by docs/BUNDLE.md and docs/NORMALISATION.md alone.

    golden.py TABLE SCHEMA SALT ROWS_PER_BLOCK [SEPARATOR QUOTE ENCODING [DIGEST]]
        prints the SHA-256 of blocks.bin
    golden.py --csv
        answers each line {"text", "separator", "quote"} on stdin with its rows, as JSON

It shares nothing with the agent: csv, re, gzip, hashlib, hmac, struct and unicodedata only.
"""

import csv
import gzip
import hashlib
import hmac
import io
import json
import re
import struct
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree

NAMESPACE = "{http://schemas.microsoft.com/office/2018/edm}"

# The White_Space property of Unicode; Python's str.strip() takes more than it.
WHITE_SPACE = "".join(
    map(chr, [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
)


def normalise(value, case_insensitive, ignored):
    value = unicodedata.normalize("NFC", value.strip(WHITE_SPACE))
    value = "".join(character for character in value if character not in ignored)
    if case_insensitive:
        value = value.lower()
    return value.strip(WHITE_SPACE)


def read_schema(path):
    fields = ElementTree.parse(path).getroot().iter(NAMESPACE + "Field")
    return [
        (
            field.get("name"),
            field.get("caseInsensitive") == "true",
            {item for item in field.get("ignoredDelimiters", "").split(",") if item},
        )
        for field in fields
    ]


def read_rows(text, separator, quote="double"):
    if quote == "microsoft":
        return read_either(text, separator)
    quoting = {
        "double": {"quotechar": '"'},
        "single": {"quotechar": "'"},
        "none": {"quoting": csv.QUOTE_NONE, "quotechar": None},
    }[quote]
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, **quoting) if row]


def read_either(text, separator):
    """Values in double or single quotes, which csv does not read."""
    field = re.compile(r'"(?:[^"]|"")*"|' + r"'(?:[^']|'')*'|[^" + re.escape(separator) + r"\r\n]*")
    rows, row, at = [], [], 0
    while at < len(text):
        if not row and text[at] in "\r\n":
            at += 1
            continue
        value = field.match(text, at).group()
        at += len(value)
        if value[:1] in ('"', "'"):
            value = value[1:-1].replace(value[0] * 2, value[0])
        row.append(value)
        if text[at : at + 1] == separator:
            at += 1
            if at < len(text):
                continue
            row.append("")
        rows.append(row)
        row = []
    return rows


def read_text(path, encoding):
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    return data.decode({"utf-8": "utf-8-sig"}.get(encoding, encoding))


def cell(value, salt, digest):
    if digest == "hmac-sha256":
        return hmac.new(salt, value, hashlib.sha256).digest()
    return hashlib.sha256(salt + value).digest()


def blocks(table, schema, salt, rows_per_block, separator=",", quote="double", encoding="utf-8", digest="sha256"):
    header, *rows = read_rows(read_text(table, encoding), separator, quote)
    places = [header.index(name) for name, _, _ in schema]
    hashed = [
        b"".join(
            cell(normalise(row[place], lower, ignored).encode(), salt, digest)
            for place, (_, lower, ignored) in zip(places, schema)
        )
        for row in rows
    ]
    for index, start in enumerate(range(0, len(hashed), rows_per_block)):
        part = hashed[start : start + rows_per_block]
        yield struct.pack("<4sHHII", b"EDMB", 1, len(schema), len(part), index) + b"".join(part)


def main(arguments):
    if arguments == ["--csv"]:
        for line in sys.stdin:
            case = json.loads(line)
            print(json.dumps(read_rows(case["text"], case["separator"], case["quote"])), flush=True)
        return
    table, schema, salt, rows_per_block, *dialect = arguments
    with open(salt, "rb") as file:
        salt = file.read().rstrip(b"\r\n")
    whole = hashlib.sha256()
    for block in blocks(table, read_schema(schema), salt, int(rows_per_block), *dialect):
        whole.update(block)
    print(whole.hexdigest())


main(sys.argv[1:])
