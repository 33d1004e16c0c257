# SPDX-License-Identifier: Apache-2.0
"""Octavia's network driver of this cloud (octavia/network/base.py). Security groups are accepted and nothing else: what
an amphora filters itself, for ports of SR-IOV, is its agent's."""

import inspect
import ipaddress

from octavia.common import constants, data_models
from octavia.network import base
from octavia.network import data_models as models
from octavia.network.drivers.noop_driver import driver as noop

import cloud
from cloud.compute import Compute, _interface

# Kinds of ports came with 2024.2 (15.0).
KNOWS_VNIC_TYPES = "vnic_type" in inspect.signature(models.Port.__init__).parameters


def _port(port):
    more = {"vnic_type": port["vnic_type"]} if KNOWS_VNIC_TYPES else {}
    return models.Port(id=port["id"], name=port["name"], device_id=port["device"], mac_address=port["mac"],
        network_id=port["network"], status="ACTIVE", admin_state_up=True, fixed_ips=[
            models.FixedIP(subnet_id=fixed["subnet"], ip_address=fixed["address"]) for fixed in port["fixed"]], **more)


class NetworkConfig(models.AmphoraNetworkConfig):
    """With what Octavia itself drops since 17.0.0 ("Ignore load_balancer graph in task results", March 2025) and
    GetAmphoraFirewallRules looks at: without it every listener of an SR-IOV VIP fails, whatever the network driver."""

    def to_dict(self, **options):
        made = super().to_dict(**options)
        load_balancer = made["amphora"].get("load_balancer")
        if load_balancer and load_balancer.get("vip") is None:
            of = self.amphora.load_balancer
            load_balancer.update(vip=of.vip.to_dict(), amphorae=[one.to_dict() for one in of.amphorae])
        return made


class Network(noop.NoopNetworkDriver):
    # A name that Octavia asks the driver of Neutron for.
    sec_grp_enabled = False

    def __init__(self):
        self.compute = Compute()

    # What there is

    def get_network(self, network_id, context=None):
        net = cloud.find_network(network_id)
        if net is None:
            raise base.NetworkNotFound(network_id)
        return models.Network(id=network_id, name=net["bridge"], subnets=[subnet["id"] for subnet in net["subnets"]],
            mtu=cloud.MTU, admin_state_up=True, port_security_enabled=True, router_external=False)

    def get_subnet(self, subnet_id, context=None):
        net, subnet = cloud.find_subnet(subnet_id)
        if net is None:
            raise base.SubnetNotFound(subnet_id)
        return models.Subnet(id=subnet_id, name=net["bridge"], network_id=net["id"], gateway_ip=subnet["gateway"],
            cidr=subnet["cidr"], ip_version=ipaddress.ip_network(subnet["cidr"]).version, host_routes=[])

    def _find(self, condition, what):
        with cloud.state() as data:
            for port in data["ports"].values():
                if condition(port):
                    return _port(port)
        raise base.PortNotFound(what)

    def get_port(self, port_id, context=None):
        return self._find(lambda port: port["id"] == port_id, port_id)

    def get_port_by_net_id_device_id(self, network_id, device_id):
        return self._find(lambda port: port["network"] == network_id and port["device"] == device_id, device_id)

    def get_plugged_networks(self, compute_id):
        with cloud.state() as data:
            return [_interface(port) for port in data["ports"].values() if port["server"] == compute_id]

    def get_security_group(self, sg_name):
        return None

    def qos_enabled(self):
        return False

    def failover_preparation(self, amphora):
        pass

    def get_network_ip_availability(self, network):
        return models.Network_IP_Availability(network_id=network.id, subnet_ip_availability=[
            {"subnet_id": subnet, "used_ips": 0, "total_ips": 200} for subnet in network.subnets])

    # Ports

    def create_port(self, network_id, name=None, fixed_ips=(), vnic_type="normal", **unused):
        with cloud.state() as data:
            return _port(cloud.make_port(data, network_id, fixed_ips, name=name or "", vnic_type=vnic_type))

    def delete_port(self, port_id):
        self.compute.detach_port(None, port_id)
        with cloud.state() as data:
            data["ports"].pop(port_id, None)

    def set_port_admin_state_up(self, port_id, state):
        pass

    def plug_port(self, amphora, port):
        return self.compute.attach_network_or_port(amphora.compute_id, port_id=port.id)

    def plug_network(self, compute_id, network_id):
        return self.compute.attach_network_or_port(compute_id, network_id=network_id)

    def unplug_network(self, compute_id, network_id):
        for interface in self.get_plugged_networks(compute_id):
            if interface.network_id == network_id:
                self.compute.detach_port(compute_id, interface.port_id)

    def plug_fixed_ip(self, port_id, subnet_id, ip_address=None):
        with cloud.state() as data:
            port = data["ports"][port_id]
            if not any(fixed["subnet"] == subnet_id for fixed in port["fixed"]):
                port["fixed"].append(cloud.make_address(data, subnet_id, ip_address))
            return _port(port)

    def unplug_fixed_ip(self, port_id, subnet_id):
        with cloud.state() as data:
            port = data["ports"][port_id]
            port["fixed"] = [fixed for fixed in port["fixed"] if fixed["subnet"] != subnet_id]
            return _port(port)

    # VIPs

    def allocate_vip(self, load_balancer):
        vip = load_balancer.vip
        wanted = [{"subnet_id": one.subnet_id, "ip_address": one.ip_address}
            for one in [vip, *load_balancer.additional_vips]]
        with cloud.state() as data:
            port = data["ports"].get(vip.port_id) or cloud.make_port(data, vip.network_id, wanted,
                name=f"vip-{load_balancer.id}", device=f"lb-{load_balancer.id}")
        first = next(fixed for fixed in port["fixed"] if fixed["subnet"] == vip.subnet_id)
        common = {"network_id": port["network"], "port_id": port["id"], "load_balancer": load_balancer,
            "load_balancer_id": load_balancer.id}
        return data_models.Vip(ip_address=first["address"], subnet_id=first["subnet"], octavia_owned=True, **common), [
            data_models.AdditionalVip(ip_address=fixed["address"], subnet_id=fixed["subnet"], **common)
            for fixed in port["fixed"] if fixed is not first]

    def deallocate_vip(self, vip):
        for port_id in [amphora.vrrp_port_id for amphora in vip.load_balancer.amphorae] + [vip.port_id]:
            if port_id:
                self.delete_port(port_id)

    def update_vip_sg(self, load_balancer, vip):
        return None

    def update_aap_port_sg(self, load_balancer, amphora, vip):
        pass

    def update_vip(self, loadbalancer, for_delete=False):
        pass

    def plug_aap_port(self, load_balancer, vip, amphora, subnet):
        plugged = [interface for interface in self.get_plugged_networks(amphora.compute_id)
            if interface.network_id == subnet.network_id]
        interface = plugged[0] if plugged else self.compute.attach_network_or_port(amphora.compute_id,
            port_id=self.create_port(subnet.network_id, f"vrrp-{amphora.id}", [{"subnet_id": subnet.id}]).id)
        return data_models.Amphora(id=amphora.id, compute_id=amphora.compute_id, ha_ip=vip.ip_address,
            vrrp_ip=next(fixed.ip_address for fixed in interface.fixed_ips if fixed.subnet_id == subnet.id),
            vrrp_port_id=interface.port_id, ha_port_id=vip.port_id)

    def unplug_aap_port(self, vip, amphora, subnet):
        self.unplug_network(amphora.compute_id, subnet.network_id)

    def unplug_vip(self, load_balancer, vip):
        subnet = self.get_subnet(vip.subnet_id)
        for amphora in load_balancer.amphorae:
            if amphora.status == constants.AMPHORA_ALLOCATED:
                self.unplug_aap_port(vip, amphora, subnet)

    def get_network_configs(self, loadbalancer, amphora=None):
        configs = {}
        for one in [amphora] if amphora else loadbalancer.amphorae:
            if one.status == constants.DELETED:
                continue
            port, vip_port = self.get_port(one.vrrp_port_id), self.get_port(loadbalancer.vip.port_id)
            port.network = self.get_network(port.network_id)
            subnet = self.get_subnet(loadbalancer.vip.subnet_id)
            configs[one.id] = NetworkConfig(amphora=one, vip_subnet=subnet, vip_port=vip_port,
                vrrp_subnet=self.get_subnet(port.get_subnet_id(one.vrrp_ip)), vrrp_port=port, ha_subnet=subnet,
                ha_port=vip_port, additional_vip_data=[models.AdditionalVipData(ip_address=more.ip_address,
                    subnet=self.get_subnet(more.subnet_id)) for more in loadbalancer.additional_vips])
        return configs
