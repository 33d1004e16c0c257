# SPDX-License-Identifier: Apache-2.0
"""keepalived configurations of UDP and SCTP listeners: Octavia's rendering of a definition, the blocks of a configuration, and
where ours differs on purpose.

AMPHORAD_OCTAVIA_LVS_TEMPLATES names a folder with the templates of another release (octavia/common/jinja/lvs/templates).
"""

import html
import os
import urllib.parse

from octavia.common import constants
from octavia.common import data_models as models
from octavia.common.config import cfg
from octavia.common.jinja.lvs import jinja_cfg

import octavia_rendering

DIFFERENCES = []


class Octavia:
    def __init__(self, base_path):
        cfg.CONF([], project="octavia", default_config_files=[])
        cfg.CONF.set_override("base_path", str(base_path), group="haproxy_amphora")
        templates = os.environ.get("AMPHORAD_OCTAVIA_LVS_TEMPLATES")
        jinja_cfg.JINJA_ENV = None
        self.templater = jinja_cfg.LvsJinjaTemplater(base_amp_path=str(base_path),
            keepalivedlvs_template=templates and os.path.join(templates, "keepalivedlvs.cfg.j2"))

    def render(self, lb, listener_id):
        built = octavia_rendering.load_balancer(lb)
        for pool, source in ((each, p) for each in built.pools for p in lb["pools"] if p["id"] == each.id):
            persistence = source.get("session_persistence")
            if persistence:
                pool.session_persistence = models.SessionPersistence(type=persistence["type"],
                    persistence_timeout=persistence.get("persistence_timeout"),
                    persistence_granularity=persistence.get("persistence_granularity"))
        return self.templater.build_config(next(each for each in built.listeners if each.id == listener_id))


def read(text):
    """Nested lists: a line is its words, comments included, a block is [words, [its content]]."""
    stack = [[]]
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words == ["}"]:
            stack.pop()
        elif words[-1] == "{" and words[0] != "#":
            block = [words[:-1], []]
            stack[-1].append(block)
            stack.append(block[1])
        else:
            stack[-1].append(words)
    assert len(stack) == 1, text
    return stack[0]


def show(tree, depth=0):
    for item in tree:
        if len(item) == 2 and isinstance(item[1], list):
            yield "    " * depth + " ".join(item[0]) + " {"
            yield from show(item[1], depth + 1)
        else:
            yield "    " * depth + " ".join(item)


def blocks(tree, name):
    """All blocks of that name, however deep."""
    for item in tree:
        if len(item) == 2 and isinstance(item[1], list):
            if item[0][0] == name:
                yield item
            yield from blocks(item[1], name)


def pool_of(lb, listener):
    return next((pool for pool in lb["pools"] if pool["id"] == listener.get("default_pool_id")), None)


# Where we differ. Each turns what Octavia rendered into what we render, and tells whether there was anything to change.


def difference(function):
    assert function.__doc__
    DIFFERENCES.append(function)
    return function


@difference
def whose_it_is(tree, lb, listener):
    """The first line says that the file is rendered here, so that a controller's and a definition's are told apart."""
    tree.insert(0, "# Rendered by amphorad from a definition: changes are lost".split())
    return True


@difference
def script_user(tree, lb, listener):
    """Who runs the check scripts is said: keepalived would complain, and would take the user keepalived_script where there is
    one, who may not open the raw socket of an SCTP check."""
    tree.insert(3, [["global_defs"], [["enable_script_security"], ["script_user", "root"]]])
    return True


@difference
def no_namespace(tree, lb, listener):
    """The network namespace is the configured one; none in this test."""
    tree.remove(["net_namespace", constants.AMPHORA_NAMESPACE])
    return True


@difference
def several_codes(tree, lb, listener):
    """Octavia writes one "url" for each expected code, of which keepalived wants all to be good: several codes never are. Here
    one "url" has all codes."""
    changed = False
    for _, content in blocks(tree, "HTTP_GET"):
        urls = [item for item in content if item[0] == ["url"]]
        codes = [words[1] for url in urls for words in url[1] if words[0] == "status_code"]
        for url in urls[1:]:
            content.remove(url)
        urls[0][1][:] = [words if words[0] != "status_code" else ["status_code", *codes] for words in urls[0][1]]
        changed |= len(urls) > 1
    return changed


@difference
def paths(tree, lb, listener):
    """Octavia escapes for HTML, and leaves what is special in keepalived.conf as it is: !, $ and ' are written as %XX here."""
    changed = False
    for _, content in blocks(tree, "url"):
        for words in content:
            if words[0] == "path":
                wanted = urllib.parse.quote(html.unescape(words[1]), safe="-._~%&()*+,;=:@/?")
                changed |= words[1] != wanted
                words[1] = wanted
    return changed


@difference
def domain_name(tree, lb, listener):
    """Octavia leaves the monitor's domain_name out; keepalived can send it."""
    pool = pool_of(lb, listener)
    domain = ((pool or {}).get("healthmonitor") or {}).get("domain_name")
    found = list(blocks(tree, "url")) if domain else []
    for _, content in found:
        content.append(["virtualhost", domain])
    return bool(found)


@difference
def granularity_of_the_other_family(tree, lb, listener):
    """A netmask for IPv6 addresses, as Octavia before 14.0 writes even as the default, makes keepalived pass over the members, as
    does a prefix length for IPv4: then whole addresses are taken."""
    changed = False
    for block in blocks(tree, "virtual_server"):
        ipv6 = block[0][2] == "ipv6-group"
        for words in block[1]:
            if words[0] == "persistence_granularity" and ("." in words[1]) == ipv6:
                words[1] = "128" if ipv6 else "255.255.255.255"
                changed = True
    return changed
