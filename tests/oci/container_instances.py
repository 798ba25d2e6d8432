"""Drives the Container Instances API. Nothing of it is offered yet: that it is refused is checked like everything else
that is refused."""

import oci
from oci.container_instances import ContainerInstanceClient

from service import Service


def service():
    """The client."""
    return Service("container_instances", oci.container_instances, ContainerInstanceClient)


def drive(_):
    """Nothing to do."""
