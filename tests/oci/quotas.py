"""Drives Quotas."""

import oci
from oci.limits import QuotasClient, models

from checks import expect
from service import Service


def service():
    """The client."""
    return Service("quotas", oci.limits, QuotasClient)


def drive(quotas):
    """All of it."""
    root = quotas.tenancy
    made = quotas.call("create_quota", models.CreateQuotaDetails(
        compartment_id=root, name="sdk-quota", description="of a test",
        statements=["set container-engine quota cluster-count to 40 in tenancy"])).data
    quotas.call("update_quota", made.id, models.UpdateQuotaDetails(description="changed"))
    expect("the quota", quotas.call("get_quota", made.id).data.description, "changed")
    expect("quotas", made.id in [q.id for q in quotas.call("list_quotas", root).data], True)
    quotas.call("delete_quota", made.id)
