#!/usr/bin/python3
"""validate.py SCHEMA <OUTPUTS: what is wrong with each output, a JSON string a line, by a JSON Schema; a line for each mistake."""

import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for line in sys.stdin:
    text = json.loads(line)
    try:
        found = json.loads(text)
    except ValueError as error:
        print(f"{error}: {text[:300]!r}")
        continue
    for error in validator.iter_errors(found):
        for inner in [error, *error.context]:
            print(f"{'/'.join(map(str, inner.absolute_path))}: {inner.message[:300]} in {text[:200]!r}")
