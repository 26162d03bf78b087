#!/usr/bin/python3
"""sbom.py: the crates that are linked into the programs or run to build them, with their licences and the sums of
Cargo.lock, as a bill of materials in the form of CycloneDX 1.5. Dependencies of the tests are left out. No date, no path
and no random number in it: the same source gives the same bytes. TARGET=TRIPLE: those for another processor than this machine's.
CONTACT="... https://TRACKER": where the project is reached."""
import json
import os
import pathlib
import re
import subprocess
import sys

os.chdir(pathlib.Path(__file__).resolve().parent.parent)


def said(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def checksums():
    """What Cargo.lock says; its lines are always of one form, and tomllib is not everywhere."""
    fields = re.compile('^(name|version|checksum) = "(.*)"$', re.MULTILINE)
    blocks = pathlib.Path("Cargo.lock").read_text().split("[[package]]")[1:]
    packages = [dict(fields.findall(block)) for block in blocks]
    return {(one["name"], one["version"]): one.get("checksum") for one in packages}


host = os.environ.get("TARGET") or re.search(
    "^host: (.*)$", said(os.environ.get("RUSTC", "rustc"), "-vV"), re.MULTILINE).group(1)
cargo = os.environ.get("CARGO", "cargo")
metadata = json.loads(said(cargo, "metadata", "--locked", "--format-version", "1", "--filter-platform", host))
sums = checksums()
packages = {one["id"]: one for one in metadata["packages"]}
nodes = {one["id"]: one for one in metadata["resolve"]["nodes"]}
root = metadata["resolve"]["root"]


# The metadata also has features that only the tests enable; this command lists what the programs are built from.
tree = said(cargo, *f"tree --locked --edges normal,build --target {host} --prefix none --no-dedupe".split())
built = {tuple(line.split()[:2]) for line in tree.splitlines() if line}


def is_built(one):
    return (packages[one]["name"], "v" + packages[one]["version"]) in built


def wanted(node):
    kept = (d for d in node["deps"] if any(kind["kind"] != "dev" for kind in d["dep_kinds"]))
    return sorted(d["pkg"] for d in kept if is_built(d["pkg"]))


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, kind="library"):
    found = {"type": kind, "bom-ref": purl(package), "name": package["name"], "version": package["version"],
             "purl": purl(package)}
    if package["license"]:
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = sums[package["name"], package["version"]]
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def described(package):
    """The project itself, with its tracker where a release names one."""
    tracker = os.environ.get("CONTACT", "").rpartition(" ")[2]
    found = component(package, "application")
    if tracker:
        found["externalReferences"] = [{"type": "issue-tracker", "url": tracker}]
    return found


seen, todo = set(), [root]
while todo:
    here = todo.pop()
    if here not in seen:
        seen.add(here)
        todo.extend(wanted(nodes[here]))
order = sorted(seen - {root}, key=lambda one: purl(packages[one]))
json.dump({
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"component": described(packages[root])},
    "components": [component(packages[one]) for one in order],
    "dependencies": [
        {"ref": purl(packages[one]), "dependsOn": [purl(packages[other]) for other in wanted(nodes[one])]}
        for one in [root, *order]
    ],
}, sys.stdout, indent=1)
print()
