# SPDX-License-Identifier: Apache-2.0
"""Where the rendering differs from Octavia's on purpose: all of it, each with its reason.

A difference turns what Octavia rendered into what we render: f(cfg, lb) changes the Configuration and returns whether there was
anything to change. What is not here must be the same. The manual, amphorad-definition(5), has the same list for users.
"""

import html

DIFFERENCES = []


def difference(function):
    assert function.__doc__
    DIFFERENCES.append(function)
    return function


def proxies(cfg):
    return cfg.of("frontend") + cfg.of("backend")


def listeners(cfg, lb):
    """(frontend, definition of its listener)"""
    by_id = {listener["id"]: listener for listener in lb["listeners"]}
    return [(section, by_id[section.name]) for section in cfg.of("frontend") if section.name in by_id]


def backends(cfg, lb):
    """(backend, definition of its pool)"""
    by_id = {pool["id"]: pool for pool in lb["pools"]}
    return [(section, by_id[section.name.split(":")[0]]) for section in cfg.of("backend")
        if section.name.split(":")[0] in by_id]


def monitor(pool):
    found = pool.get("healthmonitor")
    return found if found and found["admin_state_up"] else None


def edit_lines(sections, keyword, edit):
    """Calls edit(words) on each line of that keyword; it returns the new words."""
    changed = False
    for section in sections:
        for i, line in enumerate(section.lines):
            if line[0] == keyword:
                section.lines[i] = edit(list(line))
                changed |= section.lines[i] != line
    return changed


# The text


@difference
def html_entities(cfg, lb):
    """Octavia escapes for HTML: a & in a URL, a < in a regular expression or a quote in a path reach HAProxy as &amp;, &lt; and
    &#39;. Here they are what the user wrote."""
    changed = False
    for section in cfg.sections.values():
        for line in section.lines:
            for i, word in enumerate(line):
                line[i] = html.unescape(word)
                changed |= line[i] != word
    return changed


@difference
def characters_of_haproxy(cfg, lb):
    """Octavia writes a # and a $ as they are, which begin a comment and a variable. Every value is quoted here, so they are
    themselves. (Nothing is changed: read_octavia() takes these words for what they are meant to be.)"""
    return any(c in word for section in cfg.sections.values() for line in section.lines for word in line for c in "#$")


@difference
def order_of_rules(cfg, lb):
    """The rules of a frontend stand in the order in which HAProxy evaluates them, whatever their order is: it warns of any other.
    (Nothing is changed: rules of different kinds are compared kind by kind, those of one kind in their order.)"""
    order = ["tcp-request", "http-request", "redirect", "use_backend"]
    kinds = [[order.index(line[0]) for line in section.lines if line[0] in order] for section in cfg.of("frontend")]
    return any(found != sorted(found) for found in kinds)


# The process


@difference
def process_settings(cfg, lb):
    """daemon, user and the statistics socket are in amphorad.cfg, and the socket is not for everybody: the configuration says what
    the definition says and nothing else."""
    section = cfg.get("global")
    return any([section.remove("daemon"), section.remove("user"), section.remove("stats", "socket")])


@difference
def state_file(cfg, lb):
    """The file of server states is named relative to the load balancer's folder, so that a configuration can be checked in
    another folder."""
    return edit_lines([cfg.get("global")], "server-state-file", lambda line: [line[0], "servers-state"])


@difference
def counters_of_long_connections(cfg, lb):
    """option contstats: without it the bytes of a connection count when it ends, and those of a worker's last connections
    never."""
    cfg.get("defaults").add("option", "contstats")
    return True


@difference
def splicing(cfg, lb):
    """option splice-auto: HAProxy splices the long transfers, which gain by it; all of them, as Octavia has it, costs small
    requests a sixth (make bench-traffic)."""
    section = cfg.get("defaults")
    changed = all([section.remove("option", "splice-request"), section.remove("option", "splice-response")])
    section.add("option", "splice-auto")
    return changed


@difference
def ping_privilege(cfg, lb):
    """insecure-setuid-wanted: without it HAProxy forbids ping the privilege that it needs. The check programs are where they were
    installed. Of a load balancer that is down nothing runs, also no check."""
    section = cfg.get("global")
    if not section.has("external-check"):
        return False
    if lb["admin_state_up"]:
        section.add("insecure-setuid-wanted")
    else:
        section.remove("external-check")
        section.remove("insecure-fork-wanted")
    edit_lines(cfg.of("backend"), "external-check", lambda line: line[:2] + [lb["tools_dir"] + "/ping-wrapper.sh"])
    return True


@difference
def sum_of_limits(cfg, lb):
    """maxconn is the sum of the listeners that are up: those that are down accept nothing. (Octavia 11 counts them, its master
    does not.)"""
    up = [listener for listener in lb["listeners"]
        if lb["admin_state_up"] and listener["admin_state_up"] and listener["protocol"] not in ("UDP", "SCTP")]
    limits = [listener["connection_limit"] for listener in up]
    total = sum(limit if limit > 0 else lb["default_connection_limit"] for limit in limits)
    wanted = str(total if 0 < total < 1000000 else 1000000)
    return edit_lines([cfg.get("global")], "maxconn", lambda line: [line[0], wanted])


@difference
def log_format(cfg, lb):
    """The log has HAProxy's own formats, which tools can read."""
    changed = False
    for section, listener in listeners(cfg, lb):
        changed |= section.remove("log-format")
        section.add("option", "httplog" if section.has("mode", "http") else "tcplog")
    return changed


# Frontends


@difference
def allowed_networks(cfg, lb):
    """allowed_cidrs are enforced by HAProxy: there is no network service that would."""
    changed = False
    for section, listener in listeners(cfg, lb):
        if listener.get("allowed_cidrs"):
            section.add("tcp-request", "connection", "reject", "unless", "{", "src", "-f",
                f"lists/{listener['id']}.allowed", "}")
            changed = True
    return changed


@difference
def prometheus(cfg, lb):
    """HAProxy's exporter answers on the listener itself. Octavia's goes through a program that renames the metrics, on fixed ports
    of the machine, of which there would be one for all load balancers."""
    changed = cfg.drop("frontend", "prometheus-exporter-internal-endpoint")
    cfg.drop("backend", "prometheus-exporter-internal")
    for section, listener in listeners(cfg, lb):
        if section.remove("default_backend", "prometheus-exporter-internal"):
            section.add("http-request", "use-service", "prometheus-exporter", "if", "{", "path", "/metrics", "}")
            section.add("http-request", "deny", "deny_status", "404")
    return changed


@difference
def acl_flags(cfg, lb):
    """The value of a rule comes after "--": one that begins with a hyphen would be a flag."""
    def edit(line):
        if "-m" in line[:5]:
            line.insert(line.index("-m") + 2, "--")
        return line
    return edit_lines(cfg.of("frontend"), "acl", edit)


@difference
def file_types(cfg, lb):
    """FILE_TYPE rules compare "path" by "-m end" and "-m reg". With "path_end -m str", as Octavia 11 has it, the whole path is
    compared; "path_end" with another method is refused by newer HAProxy (https://github.com/haproxy/haproxy/issues/2567)."""
    def edit(line):
        if line[2] != "path_end":
            return line
        value = line[-1]
        return [*line[:2], "path", "-m", "reg" if "reg" in line[3:-1] else "end", "--", value]
    return edit_lines(cfg.of("frontend"), "acl", edit)


@difference
def unused_acls(cfg, lb):
    """Rules of a policy to a pool that is down are left out with the policy; Octavia defines them and uses them nowhere."""
    changed = False
    for section in cfg.of("frontend"):
        used = {word.lstrip("!") for line in section.lines if line[0] != "acl" for word in line}
        kept = [line for line in section.lines if line[0] != "acl" or line[1] in used]
        changed |= len(kept) < len(section.lines)
        section.lines = kept
    return changed


@difference
def quoted_values(cfg, lb):
    """A value between double quotes is what is between them. Octavia lets users quote values with blanks and leaves the quotes to
    HAProxy, which since they are HTML entities does not see them."""
    def edit(line):
        regex = "reg" in line[3:-1]
        if len(line[-1]) > 1 and line[-1][0] == line[-1][-1] == '"' and not regex:
            line[-1] = line[-1][1:-1]
        return line
    return edit_lines(cfg.of("frontend"), "acl", edit)


@difference
def certificates_of_listeners(cfg, lb):
    """Certificates and their lists are files of the load balancer's folder, named relative to it. A listener that has SNI
    certificates but no default one speaks TLS with them, the first is the default; Octavia leaves it without TLS."""
    changed = False
    for section, listener in listeners(cfg, lb):
        for line in section.find("bind"):
            if "crt-list" not in line and listener.get("sni_container_refs"):
                line[2:2] = ["ssl", "crt-list", ""]
            for word in ("crt-list", "ca-file", "crl-file"):
                if word in line:
                    at = line.index(word) + 1
                    line[at] = f"lists/{listener['id']}.crt-list" if word == "crt-list" else own_name(line[at])
                    changed = True
    return changed


@difference
def old_versions(cfg, lb):
    """A listener with a version before TLS 1.2 says "ssl-min-ver": HAProxy offers none of them otherwise, also if they are not
    refused, and refuses Octavia's rendering if there is no other."""
    names = ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
    changed = False
    for section, listener in listeners(cfg, lb):
        wanted = [name in (listener.get("tls_versions") or names[3:]) for name in names]
        newest = max(n for n in range(5) if wanted[n])
        oldest = min(n for n in range(5) if all(wanted[n:newest + 1]))
        if oldest < 3:
            limits = [name if name != "TLSv1" else "TLSv1.0" for name in names]
            for line in section.find("bind"):
                line[:] = [word for word in line if not word.startswith(("no-ssl", "no-tls"))]
                line += ["ssl-min-ver", limits[oldest], "ssl-max-ver", limits[newest]]
                changed = True
    return changed


# Backends


@difference
def consistent_hashing(cfg, lb):
    """SOURCE_IP hashes consistently: when a member comes or goes, only its clients move; and only so can servers be added to a
    HAProxy that runs."""
    changed = False
    for section in cfg.of("backend"):
        if section.has("balance", "source"):
            section.add("hash-type", "consistent")
            changed = True
    return changed


@difference
def stick_tables_hold_ipv6(cfg, lb):
    """"type ip", as Octavia 11 has it, does not remember IPv6 clients."""
    return edit_lines(cfg.of("backend"), "stick-table",
        lambda line: ["ipv6" if word == "ip" else word for word in line])


@difference
def host_of_a_check(cfg, lb):
    """Host goes by "http-check send", which HAProxy documents since 2.2, not by a line break within "option httpchk"."""
    changed = False
    for section in cfg.of("backend"):
        for line in section.find("option", "httpchk"):
            version, separator, header = line[-1].partition("\r\n")
            if separator:
                line[-1] = version
                if header:
                    section.lines.insert(section.lines.index(line) + 1,
                        ["http-check", "send", "hdr", "Host", header.split(": ", 1)[1]])
                changed = True
    return changed


@difference
def ipv6_of_checks(cfg, lb):
    """The IPv6 address of a check stands in brackets: HAProxy takes the last group of Octavia's for a port, and mostly refuses
    it."""
    def edit(line):
        if "addr" in line:
            at = line.index("addr") + 1
            line[at] = f"[{line[at]}]" if ":" in line[at] else line[at]
        return line
    return edit_lines(cfg.of("backend"), "server", edit)


@difference
def tls_hello(cfg, lb):
    """A TLS-HELLO monitor makes a TLS handshake. Octavia 11 sends an SSLv3 hello, which no server of today answers; its master only
    connects where the pool has no TLS."""
    changed = False
    for section, pool in backends(cfg, lb):
        if monitor(pool) and monitor(pool)["type"] == "TLS-HELLO":
            section.remove("option", "ssl-hello-chk")
            for line in section.find("server"):
                line[line.index("check") + 1:line.index("check") + 1] = ["check-ssl", "verify", "none"]
            changed = True
    return changed


@difference
def alpn_of_checks(cfg, lb):
    """Checks of a pool with TLS offer its application protocols, as Octavia's master has it: a server that insists on one is
    down otherwise."""
    changed = False
    for section, pool in backends(cfg, lb):
        if monitor(pool) and pool.get("tls_enabled") and pool.get("alpn_protocols"):
            for line in section.find("server"):
                if "check-alpn" not in line:
                    line += ["check-alpn", ",".join(pool["alpn_protocols"])]
                    changed = True
    return changed


@difference
def members_are_verified(cfg, lb):
    """Members of a pool with a CA are verified. Octavia's line says "verify none" for them, too, when the monitor is of type
    HTTPS; and it leaves "verify required" to HAProxy's default when there is no CRL."""
    changed = False
    for section, pool in backends(cfg, lb):
        for line in section.find("server"):
            if "ca-file" in line:
                while "verify" in line:
                    at = line.index("verify")
                    del line[at:at + 2]
                line += ["verify", "required"]
                changed = True
    return changed


@difference
def certificates_of_pools(cfg, lb):
    """As those of listeners."""
    def edit(line):
        for word in ("crt", "ca-file", "crl-file"):
            if word in line:
                at = line.index(word) + 1
                line[at] = own_name(line[at])
        return line
    return edit_lines(cfg.of("backend"), "server", edit)


@difference
def server_ids(cfg, lb):
    """Servers have explicit numbers, derived from the members' ids: stick tables, peers and consistent hashing know servers by
    them, and those that HAProxy counts change when a member comes or goes."""
    changed = False
    for section, pool in backends(cfg, lb):
        numbers = server_numbers(line[1] for line in section.find("server"))
        for line in section.find("server"):
            line[3:3] = ["id", str(numbers[line[1]])]
            changed = True
    return changed


def fnv_1a(data, value=2166136261):
    for byte in data:
        value = (value ^ byte) * 16777619 % 2**32
    return value


def server_numbers(members):
    """agent/render/server_ids.h: the FNV-1a of the id folded to 20 bits; if that is taken, with an attempt's number behind."""
    numbers = {}
    for member in sorted(members):
        for attempt in range(2**20):
            hashed = fnv_1a(bytes([attempt] if attempt else []), fnv_1a(member.encode()))
            number = (hashed >> 20 ^ hashed & 2**20 - 1) or 1
            if number not in numbers.values():
                break
        numbers[member] = number
    return numbers


def own_name(path):
    """Our copy of a certificate, from the path of Octavia's."""
    name = path.rsplit("/", 1)[-1]
    # A pair whose name looks like another kind's: agent/render/files.c
    if name in ("ca-like.pem", "crt-like.pem", "crl-like.pem"):
        name = f"crt-{name}"
    return f"certificates/{name}"
