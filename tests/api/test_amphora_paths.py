# SPDX-License-Identifier: Apache-2.0
"""No path, id or file name of a request leaves its folder, whatever it is spelled like and whatever lies there."""

import os
import pathlib

import pytest

from amphora import new_id
from clients import fetch
from octavia_driver import (VIP, OctaviaAgent, amp, haproxy_cfg, make_amphora, remote, shared_pki,  # noqa: F401
    tls_door, why_not_served)
from processes import free_port

SECRET = "the secret of another file"

# What stands where an id or a name should, as it is on the wire.
HOSTILE = {
    "dot": ".",
    "dots": "..",
    "dot, escaped": "%2e",
    "dots, escaped": "%2e%2e",
    "dots, escaped in capitals": "%2E%2E",
    "dots, half escaped": ".%2e",
    "dots, escaped twice": "%252e%252e",
    "up": "../outside",
    "up, slash escaped": "..%2foutside",
    "up, all escaped": "%2e%2e%2foutside",
    "up twice, escaped": "%2e%2e%2f%2e%2e%2foutside",
    "up, backslash": "..%5coutside",
    "up, overlong UTF-8": "%c0%ae%c0%ae%c0%afoutside",
    "up after an id": "{id}%2f..%2f..%2foutside",
    "up after an id, plain": "{id}/../../outside",
    "absolute": "%2fetc%2fpasswd",
    "absolute, of the test": "{outside}",
    "home": "~root",
    "NUL": "%00",
    "NUL after an id": "{id}%00",
    "NUL before dots": "{id}%00%2f..",
    "long": "a" * 300,
    "very long": "a" * 5000,
    "empty": "",
    "blank": "%20",
    "blank after an id": "{id}%20",
    "new line": "{id}%0a",
    "new line and an option": "{id}%0d%0auser%20root",
    "option": "-f",
    "long option": "--version",
    "quote": "%22%27%60",
    "shell": "$(touch%20{outside})",
    "percent": "%",
    "cut escape": "{id}%2",
    "bad escape": "%zz",
    "high bytes": "%ff%fe",
    "glob": "*",
    "files of the state folder": "certs",
    "a file of the state folder": "stats_counters.json",
    "keepalived": "vrrp",
    "LVS": "lvs",
    "id without dashes": "{id_hex}",
    "id and more": "{id}x",
    "id in braces": "%7b{id}%7d",
}

# Each route with an id or a name in it; {x} is the hostile one.
ROUTES = {
    "upload": ("PUT", "/1.0/loadbalancer/{amphora}/{x}/haproxy"),
    "read": ("GET", "/1.0/loadbalancer/{x}/haproxy"),
    "reload": ("PUT", "/1.0/loadbalancer/{x}/reload"),
    "action": ("PUT", "/1.0/loadbalancer/{id}/{x}"),
    "delete": ("DELETE", "/1.0/listeners/{x}"),
    "certificate of": ("PUT", "/1.0/loadbalancer/{x}/certificates/a.pem"),
    "certificate": ("PUT", "/1.0/loadbalancer/{id}/certificates/{x}"),
    "certificate.pem": ("PUT", "/1.0/loadbalancer/{id}/certificates/{x}.pem"),
    "read certificate of": ("GET", "/1.0/loadbalancer/{x}/certificates/a.pem"),
    "read certificate": ("GET", "/1.0/loadbalancer/{id}/certificates/{x}"),
    "read certificate.pem": ("GET", "/1.0/loadbalancer/{id}/certificates/{x}.pem"),
    "delete certificate of": ("DELETE", "/1.0/loadbalancer/{x}/certificates/a.pem"),
    "delete certificate": ("DELETE", "/1.0/loadbalancer/{id}/certificates/{x}"),
    "delete certificate.pem": ("DELETE", "/1.0/loadbalancer/{id}/certificates/{x}.pem"),
}
# Names of these are good ones with .pem behind them: such a request may succeed, in its folder.
HARMLESS = {"a file of the state folder", "files of the state folder", "keepalived", "LVS", "option", "long option",
    "id without dashes", "id and more"}


def tree(folder):
    """Every file below: path -> (kind and mode, content), without what lives by itself."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        # Files on their way (base/fileio.c) are gone in a moment: the agent saves its counters by itself.
        if path.suffix in (".log", ".sock") or "stats_counters" in path.name or path.name.startswith(".tmp-"):
            continue
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (oct(status.st_mode), content)
    return found


@pytest.fixture(scope="module")
def served():
    """One agent for all rows, with one load balancer on it. What could be stolen or overwritten lies beside it."""
    if why_not_served():
        pytest.skip(why_not_served())
    with OctaviaAgent(shared_pki()).serving() as agent:
        agent.lb_id, agent.vip_port = new_id(), free_port()
        agent.put_certificate(agent.lb_id, "a.pem", "here").expect(200)
        agent.publish(agent.lb_id, haproxy_cfg(agent, agent.lb_id, agent.vip_port))
        for folder in (agent.folder / "outside", agent.state / "outside", agent.cert_dir / "outside"):
            folder.mkdir(parents=True)
            for name in ("haproxy.cfg", "a.pem", "secret"):
                (folder / name).write_text(SECRET)
        yield agent


@pytest.mark.parametrize("route", ROUTES)
def test_hostile_names(served, route):
    method, template = ROUTES[route]
    body = haproxy_cfg(served, served.lb_id, free_port()) if route == "upload" else "changed"
    wrong = []
    for name, spelled in HOSTILE.items():
        before = tree(served.folder)
        words = {"id": served.lb_id, "id_hex": served.lb_id.replace("-", ""), "amphora": served.amphora_id,
            "outside": str(served.folder / "outside")}
        path = template.format(x=spelled.format(**words), **words)
        reply = served.rest(method, path, body if method == "PUT" else None)
        harmless = route.endswith(".pem") and name in HARMLESS
        good = {400, 404, 405, 414} | ({200} if method == "DELETE" or harmless else set())
        if reply.status not in good:
            wrong.append((name, path, reply))
        if SECRET.encode() in reply.body:
            wrong.append((name, path, "gave the secret away"))
        after = tree(served.folder)
        folder = f"state/certs/{served.lb_id}/"
        changed = {file for file in before.keys() | after.keys() if before.get(file) != after.get(file)}
        if harmless:
            changed = {file for file in changed if not (file.startswith(folder) and "/" not in file[len(folder):])}
        if changed:
            wrong.append((name, path, f"changed {sorted(changed)}"))
        if reply.status >= 400 and "json" not in (reply.headers.get("Content-Type") or ""):
            wrong.append((name, path, "no JSON: the driver would retry for minutes", reply))
    assert wrong == []
    assert fetch(served.vip_port, address=VIP)[0] == 503  # there is no member; HAProxy is there


@pytest.mark.parametrize("amphora_id", ["..", "%2e%2e%2f", "-f", "a" * 300, "%00", "%0auser%20root", "{id}"],
    ids=["dots", "up", "option", "long", "NUL", "new line", "other"])
def test_amphora_ids(served, amphora_id):
    """The id names the peer (-L) of the check and of the process; nothing else may come of it."""
    words = {"id": served.lb_id}
    before = tree(served.folder)
    reply = served.rest("PUT", f"/1.0/loadbalancer/{amphora_id.format(**words)}/{served.lb_id}/haproxy", "nonsense\n")
    assert reply.status in (400, 404, 405, 414)
    after = tree(served.folder)
    changed = {file for file in before.keys() | after.keys() if before.get(file) != after.get(file)}
    assert changed <= {f"state/{served.lb_id}/haproxy.cfg.new-failed", f"state/{served.lb_id}"}


# Links in the state folder: nothing is written, read or deleted through them.


@pytest.fixture
def outside(amp):
    """A folder beside the agent's with a file in it that must stay as it is."""
    folder = amp.folder / "elsewhere"
    folder.mkdir()
    (folder / "haproxy.cfg").write_text(SECRET)
    (folder / "a.pem").write_text(SECRET)
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"haproxy.cfg": SECRET, "a.pem": SECRET}


def not_shown(reply):
    assert SECRET not in reply.text
    return reply


def test_load_balancer_folder_is_a_link(amp, outside):
    lb_id = new_id()
    (amp.state / lb_id).symlink_to(outside)
    reply = amp.upload(lb_id, haproxy_cfg(amp, lb_id, free_port()))
    if reply.status < 300:  # then the link was replaced
        assert not (amp.state / lb_id).is_symlink()
    not_shown(amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/haproxy"))
    amp.action(lb_id, "reload")
    amp.rest("DELETE", f"/1.0/listeners/{lb_id}")


@pytest.mark.parametrize("name", ["haproxy.cfg", "haproxy.cfg.new", "haproxy.cfg.new-failed", "servers-state",
    "haproxy.cfg.tmp"])
@pytest.mark.parametrize("good", [True, False])
def test_files_of_a_load_balancer_are_links(amp, outside, name, good):
    lb_id, port = new_id(), free_port()
    amp.publish(lb_id, haproxy_cfg(amp, lb_id, port))
    file = amp.state / lb_id / name
    file.unlink(missing_ok=True)
    file.symlink_to(outside / "haproxy.cfg")
    not_shown(amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/haproxy"))
    text = haproxy_cfg(amp, lb_id, port)
    not_shown(amp.upload(lb_id, text if good else text.replace("mode http", "mode nonsense")))
    not_shown(amp.action(lb_id, "reload"))
    assert fetch(port, address=VIP)[0] == 503
    not_shown(amp.rest("DELETE", f"/1.0/listeners/{lb_id}").expect(200))
    assert not (amp.state / lb_id).exists()


def test_certificate_is_a_link(amp, outside):
    lb_id = new_id()
    amp.put_certificate(lb_id, "b.pem", "another").expect(200)
    file = amp.cert_dir / lb_id / "a.pem"
    file.symlink_to(outside / "a.pem")
    reply = amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/certificates/a.pem")
    assert reply.status >= 400  # not even its checksum
    reply = amp.put_certificate(lb_id, "a.pem", "mine")
    assert reply.status >= 400 or (not file.is_symlink() and file.read_text() == "mine")
    amp.rest("DELETE", f"/1.0/loadbalancer/{lb_id}/certificates/a.pem").expect(200)
    assert not file.is_symlink() and not file.exists()


def test_certificate_folder_is_a_link(amp, outside):
    lb_id = new_id()
    amp.cert_dir.mkdir(parents=True, exist_ok=True)
    (amp.cert_dir / lb_id).symlink_to(outside)
    reply = amp.put_certificate(lb_id, "a.pem", "mine")
    assert reply.status >= 400 or not (amp.cert_dir / lb_id).is_symlink()
    amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/certificates/a.pem")
    amp.rest("DELETE", f"/1.0/loadbalancer/{lb_id}/certificates/a.pem")
    amp.rest("DELETE", f"/1.0/listeners/{lb_id}").expect(200)


def test_what_is_no_file(amp):
    """Folders and pipes where files belong do not hang or stop the agent."""
    lb_id = new_id()
    amp.put_certificate(lb_id, "b.pem", "another").expect(200)
    (amp.cert_dir / lb_id / "a.pem").mkdir()
    os.mkfifo(amp.cert_dir / lb_id / "c.pem")
    for name in ("a.pem", "c.pem"):
        reply = amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/certificates/{name}", timeout=10)
        assert reply.status >= 400
        amp.put_certificate(lb_id, name, "x")
    os.mkfifo(amp.state / new_id())
    other = new_id()
    (amp.state / other).mkdir()
    (amp.state / other / "haproxy.cfg").mkdir()
    assert amp.rest("GET", "/1.0/listeners", timeout=10).expect(200).json == []
    amp.rest("GET", "/1.0/details", timeout=10).expect(200)
