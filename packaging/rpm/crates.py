#!/usr/bin/python3
"""crates.py SBOM SPEC: prints the spec with what it has to say of the crates that are linked in: @LICENSE@ is the license of
the package, all of them joined, and @BUNDLED@ a line for each crate."""
import json
import sys

with open(sys.argv[1]) as file:
    bill = json.load(file)


def terms(component):
    """The terms that the license of a component joins by AND, with alternatives in one order."""
    for term in component["licenses"][0]["expression"].split(" AND "):
        alternatives = sorted(term.strip("()").split(" OR "), reverse=True)
        yield f"({' OR '.join(alternatives)})" if len(alternatives) > 1 else alternatives[0]


own = list(terms(bill["metadata"]["component"]))
others = {term for one in bill["components"] for term in terms(one)} - set(own)
# rpm does not allow + and - in a version.
bundled = [f"Provides:       bundled(crate({one['name']})) = {one['version'].replace('+', '~').replace('-', '~')}"
           for one in bill["components"]]
with open(sys.argv[2]) as file:
    spec = file.read()
print(spec.replace("@LICENSE@", " AND ".join([*own, *sorted(others)])).replace("@BUNDLED@", "\n".join(bundled)), end="")
