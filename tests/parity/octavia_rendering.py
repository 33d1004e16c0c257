# SPDX-License-Identifier: Apache-2.0
"""The same load balancer as Octavia renders it: its data models, its JinjaTemplater.

AMPHORAD_OCTAVIA_TEMPLATES names a folder with the templates of another release (octavia/common/jinja/haproxy/
combined_listeners/templates), in place of those that are installed.
"""

import inspect
import os

import pytest

pytest.importorskip("octavia.common.jinja.haproxy.combined_listeners.jinja_cfg", reason="python3-octavia is not installed")
from octavia.common import data_models as models  # noqa: E402
from octavia.common.config import cfg  # noqa: E402
from octavia.common.jinja.haproxy.combined_listeners import jinja_cfg  # noqa: E402

CERTIFICATES = "/var/lib/octavia/certs"


def knows(model, field):
    return field in inspect.signature(model.__init__).parameters


HAS_HSTS = knows(models.Listener, "hsts_max_age")


def take(model, source, **names):
    """Model fields from a definition's; those that this release does not know are left out."""
    return {field: source.get(name) for field, name in names.items() if knows(model, field)}


def member(m):
    return models.Member(provisioning_status="ACTIVE", **take(models.Member, m, id="id", ip_address="address",
        protocol_port="protocol_port", weight="weight", backup="backup", enabled="admin_state_up",
        monitor_address="monitor_address", monitor_port="monitor_port"))


def monitor(m):
    built = models.HealthMonitor(provisioning_status="ACTIVE", **take(models.HealthMonitor, m, id="id", type="type",
        delay="delay", timeout="timeout", rise_threshold="max_retries", fall_threshold="max_retries_down",
        http_method="http_method", url_path="url_path", expected_codes="expected_codes", domain_name="domain_name",
        enabled="admin_state_up"))
    built.http_version = float(m["http_version"]) if m.get("http_version") else None
    return built


def pool(p):
    built = models.Pool(provisioning_status="ACTIVE", members=[member(m) for m in p.get("members") or []],
        **take(models.Pool, p, id="id", protocol="protocol", lb_algorithm="lb_algorithm", enabled="admin_state_up",
            tls_certificate_id="tls_container_ref", ca_tls_certificate_id="ca_tls_container_ref",
            crl_container_id="crl_container_ref", tls_enabled="tls_enabled", tls_ciphers="tls_ciphers",
            tls_versions="tls_versions", alpn_protocols="alpn_protocols"))
    if p.get("healthmonitor"):
        built.health_monitor = monitor(p["healthmonitor"])
    if p.get("session_persistence"):
        built.session_persistence = models.SessionPersistence(**take(models.SessionPersistence, p["session_persistence"],
            type="type", cookie_name="cookie_name"))
    return built


def policy(p, pools):
    built = models.L7Policy(provisioning_status="ACTIVE", redirect_pool=pools.get(p.get("redirect_pool_id")),
        **take(models.L7Policy, p, id="id", action="action", position="position", redirect_url="redirect_url",
            redirect_prefix="redirect_prefix", redirect_http_code="redirect_http_code", enabled="admin_state_up"))
    built.l7rules = [models.L7Rule(provisioning_status="ACTIVE", **take(models.L7Rule, r, id="id", type="type",
        compare_type="compare_type", key="key", value="value", invert="invert", enabled="admin_state_up"))
        for r in p.get("rules") or []]
    return built


def listener(source, pools):
    built = models.Listener(provisioning_status="ACTIVE", default_pool=pools.get(source.get("default_pool_id")),
        **take(models.Listener, source, id="id", protocol="protocol", protocol_port="protocol_port",
            connection_limit="connection_limit", enabled="admin_state_up",
            tls_certificate_id="default_tls_container_ref", client_ca_tls_certificate_id="client_ca_tls_container_ref",
            client_authentication="client_authentication", client_crl_container_id="client_crl_container_ref",
            timeout_client_data="timeout_client_data", timeout_member_connect="timeout_member_connect",
            timeout_member_data="timeout_member_data", timeout_tcp_inspect="timeout_tcp_inspect",
            tls_ciphers="tls_ciphers", tls_versions="tls_versions", alpn_protocols="alpn_protocols",
            hsts_max_age="hsts_max_age", hsts_include_subdomains="hsts_include_subdomains", hsts_preload="hsts_preload"))
    built.insert_headers = source.get("insert_headers") or {}
    built.l7policies = [policy(p, pools) for p in sorted(source.get("l7policies") or [], key=lambda p: p["position"])]
    # octavia.db.models.Listener.pools
    used = [built.default_pool] + [p.redirect_pool for p in built.l7policies if p.enabled and p.l7rules]
    built.pools = list({p.id: p for p in used if p}.values())
    return built


def load_balancer(lb):
    pools = {p["id"]: pool(p) for p in lb.get("pools") or []}
    built = models.LoadBalancer(id=lb["id"], project_id=lb.get("project_id") or "", enabled=lb["admin_state_up"],
        topology="SINGLE", vip=models.Vip(ip_address=lb["vip_address"]), pools=list(pools.values()),
        additional_vips=[models.AdditionalVip(ip_address=v["ip_address"]) for v in lb.get("additional_vips") or []])
    built.listeners = [listener(source, pools) for source in lb.get("listeners") or []]
    for each in built.listeners:
        each.load_balancer = built
    return built


def certificates(built):
    """What the driver says of uploaded files (rest_api_driver.py): names of a listener's, paths of a pool's. A file has here
    the name of what it holds."""
    found = {}
    for each in built.listeners:
        if each.client_ca_tls_certificate_id:
            found[each.client_ca_tls_certificate_id] = f"ca-{each.client_ca_tls_certificate_id}.pem"
        if each.client_crl_container_id:
            found[each.client_crl_container_id] = f"crl-{each.client_crl_container_id}.pem"
    for each in built.pools:
        names = {"client_cert": each.tls_certificate_id, "ca_cert": each.ca_tls_certificate_id and
            f"ca-{each.ca_tls_certificate_id}", "crl": each.crl_container_id and f"crl-{each.crl_container_id}"}
        found[each.id] = {kind: f"{CERTIFICATES}/{built.id}/{name}.pem" for kind, name in names.items() if name}
    return found


class Octavia:
    def __init__(self, haproxy_version, log):
        cfg.CONF([], project="octavia", default_config_files=[])
        self.version = haproxy_version
        templates = os.environ.get("AMPHORAD_OCTAVIA_TEMPLATES")
        self.templater = jinja_cfg.JinjaTemplater(base_crt_dir=CERTIFICATES, log_http=log, log_server=log,
            haproxy_template=templates and os.path.join(templates, "haproxy.cfg.j2"))

    def render(self, lb):
        built = load_balancer(lb)
        more = {"amp_details": {}} if "amp_details" in inspect.signature(self.templater.build_config).parameters else {}
        return self.templater.build_config(models.Amphora(id="amphora"), built.listeners, certificates(built),
            self.version, **more)
