"""Drives Audit."""

import datetime

import oci
from oci.audit import AuditClient

from checks import expect
from service import Service


def service():
    """The client."""
    return Service("audit", oci.audit, AuditClient)


def drive(audit):
    """All of it: what the other modules did is there."""
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    events = audit.call("list_events", audit.tenancy, now - hour, now + hour).data
    expect("there are events", bool(events), True)
