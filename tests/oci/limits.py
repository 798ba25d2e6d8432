"""Drives what is offered of Limits: services, definitions, values, and what is left."""

import oci
from oci.limits import LimitsClient

from checks import expect
from service import Service


def service():
    """The client."""
    return Service("limits", oci.limits, LimitsClient)


def drive(limits):
    """All of it."""
    root = limits.tenancy
    services = limits.call("list_services", root).data
    expect("there are services", bool(services), True)
    name = services[0].name
    definitions = limits.call("list_limit_definitions", root, service_name=name).data
    values = limits.call("list_limit_values", root, name).data
    expect("each limit has a value", {d.name for d in definitions} >= {v.name for v in values}, True)
    left = limits.call("get_resource_availability", name, values[0].name, root).data
    expect("what is used and what is left", left.used is not None and left.available is not None, True)
