"""Drives what is offered of Core Services: networks, subnets, security groups and their rules."""

import oci
from oci.core import VirtualNetworkClient, models

from checks import expect
from service import Service


def service():
    """The client."""
    return Service("virtual_network", oci.core, VirtualNetworkClient)


def drive(network):
    """All of it."""
    root = network.tenancy
    vcn = network.call("create_vcn", models.CreateVcnDetails(
        compartment_id=root, display_name="sdk-vcn", cidr_blocks=["10.7.0.0/16"], freeform_tags={"a": "b"})).data
    network.call("update_vcn", vcn.id, models.UpdateVcnDetails(display_name="sdk-vcn2"))
    expect("the network", network.call("get_vcn", vcn.id).data.display_name, "sdk-vcn2")
    expect("networks", [v.id for v in network.call("list_vcns", root, display_name="sdk-vcn2").data], [vcn.id])
    subnet = network.call("create_subnet", models.CreateSubnetDetails(
        compartment_id=root, vcn_id=vcn.id, display_name="sdk-subnet", cidr_block="10.7.1.0/24")).data
    network.call("update_subnet", subnet.id, models.UpdateSubnetDetails(display_name="sdk-subnet2"))
    expect("the subnet", network.call("get_subnet", subnet.id).data.display_name, "sdk-subnet2")
    expect("subnets", [s.id for s in network.call("list_subnets", root, vcn_id=vcn.id).data], [subnet.id])
    group = security_group(network, vcn.id)
    network.fails(409, "Conflict", "delete_vcn", vcn.id)
    network.call("delete_network_security_group", group)
    network.call("delete_subnet", subnet.id)
    network.call("delete_vcn", vcn.id)


def security_group(network, vcn):
    """A group with rules; gives its id."""
    root = network.tenancy
    group = network.call("create_network_security_group", models.CreateNetworkSecurityGroupDetails(
        compartment_id=root, vcn_id=vcn, display_name="sdk-group")).data
    network.call("update_network_security_group", group.id,
                 models.UpdateNetworkSecurityGroupDetails(display_name="sdk-group2"))
    expect("the group", network.call("get_network_security_group", group.id).data.display_name, "sdk-group2")
    listed = network.call("list_network_security_groups", compartment_id=root, vcn_id=vcn).data
    expect("groups", [g.id for g in listed], [group.id])
    port = lambda number: models.TcpOptions(destination_port_range=models.PortRange(min=number, max=number))
    added = network.call("add_network_security_group_security_rules", group.id,
                         models.AddNetworkSecurityGroupSecurityRulesDetails(security_rules=[
                             models.AddSecurityRuleDetails(
                                 direction="INGRESS", protocol="6", source="0.0.0.0/0", source_type="CIDR_BLOCK",
                                 is_stateless=False, description="web", tcp_options=port(80))])).data
    rule = added.security_rules[0].id
    network.call("update_network_security_group_security_rules", group.id,
                 models.UpdateNetworkSecurityGroupSecurityRulesDetails(security_rules=[
                     models.UpdateSecurityRuleDetails(
                         id=rule, direction="INGRESS", protocol="6", source="10.0.0.0/8", source_type="CIDR_BLOCK",
                         tcp_options=port(443))]))
    rules = network.call("list_network_security_group_security_rules", group.id).data
    expect("rules", [(r.id, r.source, r.tcp_options.destination_port_range.min) for r in rules],
           [(rule, "10.0.0.0/8", 443)])
    network.call("remove_network_security_group_security_rules", group.id,
                 models.RemoveNetworkSecurityGroupSecurityRulesDetails(security_rule_ids=[rule]))
    expect("no rules", network.call("list_network_security_group_security_rules", group.id).data, [])
    return group.id
