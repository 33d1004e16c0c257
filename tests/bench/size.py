#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an agent takes on a disk, with everything that its Debian package depends on: that of amphorad, which is built for this,
beside octavia-agent. `make bench-size` runs it. The sizes are those of the packages that are installed here (the field
Installed-Size); of alternatives the first that is installed counts, and what is merely recommended does not."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("AMPHORAD_SRC_DIR") or pathlib.Path(__file__).resolve().parents[2])
FIELDS = ("Package", "Installed-Size", "Depends", "Pre-Depends", "Provides")
OTHER = "octavia-agent"


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout


def names(field):
    """"a (>= 1), b | c" -> [["a"], ["b", "c"]] """
    return [[re.match(r"\s*([^\s(:]+)", choice)[1] for choice in item.split("|")] for item in field.split(",") if item.strip()]


class Packages:
    """What is installed, by name and by what it provides."""

    def __init__(self):
        self.known, self.provided = {}, {}
        form = "\t".join(f"${{{field}}}" for field in FIELDS)
        for line in run("dpkg-query", "-W", "-f", f"${{db:Status-Status}}\t{form}\n").splitlines():
            status, *values = line.split("\t")
            if status == "installed":
                self.add(dict(zip(FIELDS, values)))

    def add(self, fields):
        package = fields["Package"]
        self.known[package] = fields
        for (name,) in names(fields["Provides"]):
            self.provided.setdefault(name, package)

    def add_file(self, path):
        values = [run("dpkg-deb", "-f", str(path), field).strip() for field in FIELDS]
        self.add(dict(zip(FIELDS, values)))

    def closure(self, package):
        """The packages that "package" needs, itself among them."""
        found, waiting = set(), [package]
        while waiting:
            package = waiting.pop()
            if package in found:
                continue
            found.add(package)
            fields = self.known[package]
            for choices in names(fields["Depends"]) + names(fields["Pre-Depends"]):
                there = [name if name in self.known else self.provided.get(name) for name in choices]
                chosen = next((name for name in there if name), None)
                if not chosen:
                    print(f"{package} needs {' or '.join(choices)}, which is not installed: not counted", file=sys.stderr)
                else:
                    waiting.append(chosen)
        return found

    def kilobytes(self, found):
        return sum(int(self.known[package]["Installed-Size"] or 0) for package in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    options = parser.parse_args()
    packages = Packages()
    if OTHER not in packages.known:
        sys.exit(f"Octavia's agent is not installed: apt-get install --no-install-recommends {OTHER}")
    with tempfile.TemporaryDirectory(prefix="amphorad-size-") as folder:
        print("building packages (a minute)", flush=True)
        built = subprocess.run([SOURCE / "packaging/build-deb", "--output", folder, "--no-lint"], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False)
        if built.returncode != 0:
            sys.exit(f"packaging/build-deb failed:\n{built.stdout[-2000:]}{built.stderr[-2000:]}")
        for path in pathlib.Path(folder).glob("*.deb"):
            packages.add_file(path)
    found = {name: packages.closure(name) for name in ("amphorad", OTHER)}
    ours, other = found.values()
    rows = []
    for what, sets in (("the package", [{name} for name in found]), ("with all that it needs", [ours, other]),
            ("what the other does not need", [ours - other, other - ours])):
        sizes = dict(zip(found, map(packages.kilobytes, sets)))
        rows.append({"what": what, "kB": sizes, "packages": {name: len(each) for name, each in zip(found, sets)}})
        print(f"{what:32}" + "".join(f" {name} {sizes[name] / 1024:8.1f} MiB in {len(each):3} packages"
            for name, each in zip(found, sets)), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
