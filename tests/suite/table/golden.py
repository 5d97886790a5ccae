"""Makes blocks.bin of a table by docs/BUNDLE.md and docs/NORMALISATION.md alone.

    golden.py TABLE SCHEMA SALT ROWS_PER_BLOCK   prints the SHA-256 of blocks.bin
    golden.py --csv                              answers each line {"text", "separator"}
                                                 on stdin with its rows, as JSON

It shares nothing with the agent: csv, hashlib, struct and unicodedata only.
"""

import csv
import hashlib
import io
import json
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


def read_rows(text, separator):
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]


def blocks(table, schema, salt, rows_per_block):
    with open(table, encoding="utf-8-sig", newline="") as file:
        header, *rows = read_rows(file.read(), ",")
    places = [header.index(name) for name, _, _ in schema]
    hashed = [
        b"".join(
            hashlib.sha256(salt + normalise(row[place], lower, ignored).encode()).digest()
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
            print(json.dumps(read_rows(case["text"], case["separator"])), flush=True)
        return
    table, schema, salt, rows_per_block = arguments
    with open(salt, "rb") as file:
        salt = file.read().rstrip(b"\r\n")
    whole = hashlib.sha256()
    for block in blocks(table, read_schema(schema), salt, int(rows_per_block)):
        whole.update(block)
    print(whole.hexdigest())


main(sys.argv[1:])
