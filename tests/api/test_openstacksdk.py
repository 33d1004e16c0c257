# SPDX-License-Identifier: Apache-2.0
"""openstacksdk, unchanged, against one amphora: every kind of object, authentication of type none."""

import inspect

import pytest

import amphora
import backends
from amphora import new_id
from clients import server_of
from processes import free_port, wait_for

openstack = pytest.importorskip("openstack", reason="openstacksdk is not installed (Debian: python3-openstacksdk)")

from openstack import connection, exceptions, resource  # noqa: E402, pylint: disable=wrong-import-position
from openstack.load_balancer import v2  # noqa: E402, pylint: disable=wrong-import-position

# Kind -> the words of its functions: one, several; whether they take a parent; a change.
KINDS = {
    "load_balancer": ("load_balancer", "load_balancers", None, {"description": "changed"}),
    "listener": ("listener", "listeners", None, {"connection_limit": 5000}),
    "pool": ("pool", "pools", None, {"lb_algorithm": "LEAST_CONNECTIONS"}),
    "member": ("member", "members", "pool", {"weight": 7}),
    "health_monitor": ("health_monitor", "health_monitors", None, {"max_retries": 2}),
    "l7_policy": ("l7_policy", "l7_policies", None, {"description": "changed"}),
    "l7_rule": ("l7_rule", "l7_rules", "l7_policy", {"rule_value": "/other"}),
}


@pytest.fixture(scope="module")
def agent():
    running = amphora.Agent()
    running.add_http_door()
    with running.serving():
        yield running


def connect(url):
    return connection.Connection(auth_type="none", load_balancer_endpoint_override=url, app_name="amphorad-test")


@pytest.fixture(scope="module")
def octavia(agent):
    with connect(f"http://127.0.0.1:{agent.http_port}") as conn:
        yield conn.load_balancer


@pytest.fixture(scope="module")
def origin():
    server = backends.Origin("sdk").start()
    yield server
    server.close()


class Tree:
    """One object of every kind, as a user makes them one after the other."""

    def __init__(self, octavia, origin):
        self.port = free_port()
        self.load_balancer = octavia.create_load_balancer(name="sdk-lb", vip_address="127.0.0.1", description="first",
            vip_network_id=new_id(), tags=["blue"], project_id="0123456789abcdef0123456789abcdef")
        octavia.wait_for_load_balancer(self.load_balancer.id, interval=1, wait=30)
        self.listener = octavia.create_listener(name="sdk-listener", load_balancer_id=self.load_balancer.id,
            protocol="HTTP", protocol_port=self.port, insert_headers={"X-Forwarded-For": "true"})
        self.pool = octavia.create_pool(name="sdk-pool", listener_id=self.listener.id, protocol="HTTP",
            lb_algorithm="ROUND_ROBIN", session_persistence={"type": "SOURCE_IP"})
        self.member = octavia.create_member(self.pool, name="sdk-member", address="127.0.0.1",
            protocol_port=origin.port, tags=["one"])
        self.health_monitor = octavia.create_health_monitor(name="sdk-monitor", pool_id=self.pool.id, type="HTTP",
            delay=1, timeout=5, max_retries=1, url_path="/health")
        self.l7_policy = octavia.create_l7_policy(name="sdk-policy", listener_id=self.listener.id, action="REJECT")
        self.l7_rule = octavia.create_l7_rule(self.l7_policy, type="PATH", compare_type="STARTS_WITH", value="/no")
        octavia.wait_for_load_balancer(self.load_balancer.id, interval=1, wait=30)

    def of(self, kind):
        parent = KINDS[kind][2]
        return getattr(self, kind), [getattr(self, parent)] if parent else []


@pytest.fixture(scope="module")
def tree(octavia, origin):
    return Tree(octavia, origin)


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.mark.parametrize("path", ["", "/", "/v2", "/v2.0"])
def test_discovery(agent, path):
    """Whatever a user gives as the endpoint, the newest version is found from it."""
    with connect(f"http://127.0.0.1:{agent.http_port}{path}") as conn:
        data = conn.load_balancer.get_endpoint_data()
        assert data.api_version == (2, 30)
        assert data.url.rstrip("/") == f"http://127.0.0.1:{agent.http_port}/v2"
        list(conn.load_balancer.load_balancers())


def test_traffic(tree, origin):
    """What was created one by one serves."""
    assert wait_for(lambda: server_of(tree.port), 20, "the member is up") == origin.name


def test_get(octavia, tree, kind):
    item, parent = tree.of(kind)
    found = getattr(octavia, f"get_{KINDS[kind][0]}")(item.id, *parent)
    assert found.id == item.id and found.provisioning_status == "ACTIVE" and found.is_admin_state_up is True
    assert found.project_id == tree.load_balancer.project_id
    assert found.created_at and found.operating_status in ("ONLINE", "OFFLINE", "NO_MONITOR", "ERROR")


def test_list(octavia, tree, kind):
    item, parent = tree.of(kind)
    found = list(getattr(octavia, KINDS[kind][1])(*parent))
    assert [one.id for one in found] == [item.id]
    assert list(getattr(octavia, KINDS[kind][1])(*parent, is_admin_state_up=False)) == []
    found = getattr(octavia, KINDS[kind][1])(*parent, provisioning_status="ACTIVE", limit=1)
    assert [one.id for one in found] == [item.id]


def test_find(octavia, tree, kind):
    item, parent = tree.of(kind)
    find = getattr(octavia, f"find_{KINDS[kind][0]}")
    assert find(item.id, *parent).id == item.id
    if item.name:
        assert find(item.name, *parent).id == item.id
    assert find("nobody", *parent, ignore_missing=True) is None
    with pytest.raises(exceptions.ResourceNotFound):
        find("nobody", *parent, ignore_missing=False)


def test_update(octavia, tree, kind):
    item, parent = tree.of(kind)
    change = KINDS[kind][3]
    getattr(octavia, f"update_{KINDS[kind][0]}")(item.id, *parent, **change)
    found = getattr(octavia, f"get_{KINDS[kind][0]}")(item.id, *parent)
    assert {name: getattr(found, name) for name in change} == change
    assert found.updated_at


def test_lists_by_parent(octavia, tree):
    lb = tree.load_balancer.id
    assert [one.id for one in octavia.listeners(load_balancer_id=lb)] == [tree.listener.id]
    assert [one.id for one in octavia.pools(loadbalancer_id=lb)] == [tree.pool.id]
    assert [one.id for one in octavia.health_monitors(pool_id=tree.pool.id)] == [tree.health_monitor.id]
    assert [one.id for one in octavia.l7_policies(listener_id=tree.listener.id)] == [tree.l7_policy.id]
    assert list(octavia.listeners(load_balancer_id=new_id())) == []
    assert list(octavia.l7_policies(listener_id=new_id())) == []


def test_tags(octavia, tree):
    assert [lb.id for lb in octavia.load_balancers(tags="blue")] == [tree.load_balancer.id]
    assert list(octavia.load_balancers(not_tags="blue")) == []
    assert [m.tags for m in octavia.members(tree.pool, any_tags="one,two")] == [["one"]]


def query_cases():
    """Every resource that has a list, with all filters that the SDK offers for it."""
    cases = {}
    for name in dir(v2):
        module = getattr(v2, name)
        for _, cls in inspect.getmembers(module, inspect.isclass) if inspect.ismodule(module) else ():
            if issubclass(cls, resource.Resource) and cls.allow_list and cls.__module__ == module.__name__:
                cases[cls.__name__] = cls
    return cases


def test_every_query_of_the_sdk_is_understood(octavia, tree):
    cases = query_cases()
    assert len(cases) >= 14, cases
    uri = {"pool_id": tree.pool.id, "l7policy_id": tree.l7_policy.id, "provider": "amphora"}
    for name, cls in cases.items():
        path = cls.base_path % uri
        in_path = {word for word in uri if f"%({word})s" in cls.base_path}
        for word in set(cls._query_mapping._mapping.values()) - {"limit", "marker"} - in_path:
            reply = octavia.get(path, params={word: "x"})
            assert reply.status_code == 200, (name, word, reply.text)


def test_pages(octavia, tree):
    """The SDK follows our links, and the filter is not lost on the way."""
    made = [octavia.create_member(tree.pool, name=f"page-{i}", address="127.0.0.2", protocol_port=9000 + i,
        weight=i % 2) for i in range(7)]
    try:
        assert {m.id for m in octavia.members(tree.pool, limit=2)} == {m.id for m in made} | {tree.member.id}
        assert {m.name for m in octavia.members(tree.pool, limit=2, weight=0)} == \
            {"page-0", "page-2", "page-4", "page-6"}
    finally:
        for member in made:
            octavia.delete_member(member.id, tree.pool)


def test_statistics_and_status(octavia, tree):
    wait_for(lambda: server_of(tree.port), 20, "the member is up")

    def counted():
        found = octavia.get_load_balancer_statistics(tree.load_balancer.id)
        return found if found.total_connections else None
    stats = wait_for(counted, 10, "the request is counted")
    assert stats.bytes_out > 0
    assert octavia.get_listener_statistics(tree.listener.id).total_connections > 0
    if hasattr(octavia, "get_load_balancer_status"):
        octavia.get_load_balancer_status(tree.load_balancer.id)
    found = octavia.get(f"/lbaas/loadbalancers/{tree.load_balancer.id}/status").json()["statuses"]["loadbalancer"]
    assert (found["id"], found["provisioning_status"]) == (tree.load_balancer.id, "ACTIVE")
    assert found["listeners"][0]["pools"][0]["members"][0]["id"] == tree.member.id


def test_errors(octavia, tree):
    with pytest.raises(exceptions.ResourceNotFound):
        octavia.get_load_balancer(new_id())
    with pytest.raises(exceptions.ConflictException):
        octavia.create_listener(load_balancer_id=tree.load_balancer.id, protocol="HTTP", protocol_port=tree.port)
    with pytest.raises(exceptions.BadRequestException) as caught:
        octavia.create_listener(load_balancer_id=tree.load_balancer.id, protocol="GOPHER", protocol_port=70)
    assert "protocol" in str(caught.value)


def refused(function, *arguments, **options):
    with pytest.raises(exceptions.HttpException) as caught:
        function(*arguments, **options)
    assert caught.value.status_code == 501
    return str(caught.value)


def test_what_takes_a_controller_is_refused(octavia, tree):
    assert "failover" in refused(octavia.failover_load_balancer, tree.load_balancer.id)
    mine, = octavia.amphorae()
    for function in (octavia.failover_amphora, octavia.configure_amphora):
        assert "does not support" in refused(function, mine.id)
    refused(octavia.create_flavor_profile, name="f", provider_name="amphora", flavor_data="{}")
    refused(octavia.create_flavor, name="f", flavor_profile_id=new_id())
    refused(octavia.create_availability_zone_profile, name="z", provider_name="amphora", availability_zone_data="{}")
    refused(octavia.create_availability_zone, name="z", availability_zone_profile_id=new_id())
    refused(octavia.update_quota, "0123456789abcdef", pools=1)
    refused(octavia.delete_quota, "0123456789abcdef")
    # Nothing has changed by it.
    assert octavia.get_load_balancer(tree.load_balancer.id).provisioning_status == "ACTIVE"


def test_what_is_looked_up(octavia, tree, agent):
    assert {"amphora", "octavia"} <= {provider.name for provider in octavia.providers()}
    assert list(octavia.provider_flavor_capabilities("amphora")) == []
    for several in ("flavors", "flavor_profiles", "availability_zones", "availability_zone_profiles", "quotas"):
        assert list(getattr(octavia, several)()) == []
    for one in ("flavor", "flavor_profile", "availability_zone", "availability_zone_profile"):
        assert getattr(octavia, f"find_{one}")("nobody") is None
        with pytest.raises(exceptions.ResourceNotFound):
            getattr(octavia, f"get_{one}")("nobody")
    assert octavia.get_quota("0123456789abcdef").pools == -1
    assert octavia.get_quota_default().load_balancers == -1
    mine, = octavia.amphorae()
    assert (mine.id, mine.loadbalancer_id, mine.status) == (agent.amphora_id, tree.load_balancer.id, "ALLOCATED")
    assert octavia.get_amphora(mine.id).id == octavia.find_amphora(mine.id).id == mine.id


def test_delete(octavia, tree):
    """From the leaves up, and at last the load balancer with what it has."""
    for name in ("l7_rule", "l7_policy", "health_monitor", "member", "pool"):
        item, parent = tree.of(name)
        delete = getattr(octavia, f"delete_{name}")
        delete(item.id, *parent, ignore_missing=False)
        assert getattr(octavia, f"find_{name}")(item.id, *parent) is None
        assert delete(item.id, *parent) is None
        with pytest.raises(exceptions.ResourceNotFound):
            delete(item.id, *parent, ignore_missing=False)
    with pytest.raises(exceptions.SDKException):
        octavia.delete_load_balancer(tree.load_balancer.id)
    octavia.delete_load_balancer(tree.load_balancer.id, cascade=True)
    assert list(octavia.load_balancers()) == [] == list(octavia.listeners())
