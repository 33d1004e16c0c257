# SPDX-License-Identifier: Apache-2.0
"""Texts of haproxy.cfg as sections of lines of words, and the form in which two of them are compared."""

KEYWORDS = ("global", "defaults", "frontend", "backend", "listen", "peers", "userlist")


class Section:
    def __init__(self, keyword, name):
        self.keyword, self.name, self.lines = keyword, name, []

    def find(self, *beginning):
        """Lines that begin with these words."""
        return [line for line in self.lines if tuple(line[:len(beginning)]) == beginning]

    def has(self, *beginning):
        return bool(self.find(*beginning))

    def remove(self, *beginning):
        """Whether there was any."""
        before = len(self.lines)
        self.lines = [line for line in self.lines if tuple(line[:len(beginning)]) != beginning]
        return len(self.lines) < before

    def add(self, *words):
        self.lines.append([str(word) for word in words])


class Configuration:
    """Sections by (keyword, name), in their order."""

    def __init__(self, lines):
        self.sections = {}
        section = None
        for words in lines:
            if words and words[0] in KEYWORDS:
                section = Section(words[0], " ".join(words[1:]))
                assert (section.keyword, section.name) not in self.sections, f"{words} is there twice"
                self.sections[section.keyword, section.name] = section
            elif words:
                section.lines.append(words)

    def of(self, keyword):
        return [section for section in self.sections.values() if section.keyword == keyword]

    def get(self, keyword, name=""):
        return self.sections.get((keyword, name))

    def drop(self, keyword, name=""):
        return self.sections.pop((keyword, name), None) is not None


ESCAPES = {"t": "\t", "r": "\r", "n": "\n"}


def split_haproxy(line):
    """The words of a line as HAProxy reads it: configuration manual, 2.2. Nothing here may need the environment."""
    words, word, i, quote = [], None, 0, None
    while i < len(line):
        c = line[i]
        if quote == "'":
            if c == "'":
                quote = None
            else:
                word += c
        elif c == "\\" and i + 1 < len(line):
            i += 1
            assert line[i] != "x", line
            word = (word or "") + (ESCAPES.get(line[i], line[i]) if not quote or line[i] in '"\\$' else "\\" + line[i])
        elif c == '"':
            quote = None if quote else '"'
            word = word or ""
        elif quote:
            assert c != "$", line
            word += c
        elif c == "'":
            quote, word = "'", word or ""
        elif c == "#":
            break
        elif c in " \t":
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + c
        i += 1
    assert quote is None, f"unterminated quote: {line}"
    return words + ([word] if word is not None else [])


def split_octavia(line):
    """The words that Octavia means. Backslashes escape; double quotes that stand there are Octavia's own, those of users are HTML
    entities still (differences.py)."""
    words, word, i, quoted = [], None, 0, False
    while i < len(line):
        c = line[i]
        if c == "\\" and i + 1 < len(line):
            i += 1
            word = (word or "") + ESCAPES.get(line[i], line[i])
        elif c == '"':
            quoted, word = not quoted, word or ""
        elif c in " \t" and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + c
        i += 1
    return words + ([word] if word is not None else [])


def read_haproxy(text):
    return Configuration(split_haproxy(line) for line in text.split("\n"))


def read_octavia(text):
    return Configuration(split_octavia(line) for line in text.split("\n") if not line.lstrip().startswith("#"))


# Comparing

# Rules of one kind are evaluated in their order; every other line of a section may stand anywhere.
ORDERED = {
    ("http-request",), ("http-response",), ("redirect",), ("use_backend",), ("stick",), ("http-check",), ("tcp-request", "content"),
    ("tcp-request", "connection"), ("tcp-request", "session"), ("server",),
}
# Words of "server" and "bind" with one argument.
WITH_ARGUMENT = {"weight", "inter", "fall", "rise", "addr", "port", "cookie", "crt", "ca-file", "verify", "sni", "ciphers", "alpn",
    "check-alpn", "crl-file", "crt-list", "id", "proxy-v2-options", "ssl-min-ver", "ssl-max-ver"}


def options(words):
    """The words of a server or bind after its address: a set of options, each with its argument."""
    found, i = set(), 0
    while i < len(words):
        step = 2 if words[i] in WITH_ARGUMENT else 1
        found.add(tuple(words[i:i + step]))
        i += step
    return sorted(found)


def normal_line(line):
    if line[0] == "server":
        return tuple(line[:3]) + tuple(options(line[3:]))
    if line[0] == "bind":
        return tuple(line[:2]) + tuple(options(line[2:]))
    if "rstatus" in line:
        return tuple(line[:-1]) + ("|".join(sorted(line[-1].split("|"))),)
    return tuple(line)


def normal(section):
    """{kind of rule: lines in their order, None: all others, sorted}"""
    kinds = {}
    for line in section.lines:
        kind = next((k for k in (tuple(line[:1]), tuple(line[:2])) if k in ORDERED), None)
        kinds.setdefault(kind, []).append(normal_line(line))
    kinds.get(None, []).sort(key=repr)
    return kinds


def differences(one, other):
    """What differs, in lines for people; empty if nothing does."""
    found = []
    if list(one.sections) != list(other.sections):
        found.append(f"sections: {list(one.sections)} and {list(other.sections)}")
    for key, section in one.sections.items():
        a, b = normal(section), normal(other.sections.get(key, Section(*key)))
        for kind in sorted({*a, *b}, key=repr):
            if a.get(kind) != b.get(kind):
                mine, theirs = a.get(kind, []), b.get(kind, [])
                found.append(f"{' '.join(key)}:")
                found += [f"  - {line}" for line in mine if line not in theirs]
                found += [f"  + {line}" for line in theirs if line not in mine]
                if sorted(mine, key=repr) == sorted(theirs, key=repr):
                    found.append(f"  order of {kind}: {mine} and {theirs}")
    return found
