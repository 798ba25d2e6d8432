"""Drives what is offered of Identity: compartments, users, keys, groups, memberships, policies and places."""

import subprocess

import oci
from oci.identity import IdentityClient, models

from checks import Mismatch, expect
from service import Service


def service():
    """The client."""
    return Service("identity", oci.identity, IdentityClient)


def drive(identity):
    """All of it."""
    places(identity)
    compartments(identity)
    people(identity)
    policies(identity)


def places(identity):
    """The tenancy and where it is."""
    root = identity.tenancy
    expect("the tenancy", identity.call("get_tenancy", root).data.id, root)
    domains = identity.call("list_availability_domains", root).data
    faults = identity.call("list_fault_domains", root, domains[0].name).data
    expect("fault domains", len(faults), 3)
    expect("regions", "local-1" in [r.name for r in identity.call("list_regions").data], True)
    subscribed = identity.call("list_region_subscriptions", root).data
    expect("the home", [r.region_name for r in subscribed if r.is_home_region], ["local-1"])


def compartments(identity):
    """A tree of two, moved and deleted."""
    root = identity.tenancy
    make = lambda parent, name: identity.call("create_compartment", models.CreateCompartmentDetails(
        compartment_id=parent, name=name, description="of a test", freeform_tags={"a": "b"})).data
    above, below = make(root, "above"), None
    below = make(root, "below")
    answer = identity.call("get_compartment", below.id)
    expect("its state", answer.data.lifecycle_state, "ACTIVE")
    identity.call("move_compartment", below.id, models.MoveCompartmentDetails(target_compartment_id=above.id))
    expect("moved", identity.call("get_compartment", below.id).data.compartment_id, above.id)
    listed = identity.call("list_compartments", root, compartment_id_in_subtree=True, lifecycle_state="ACTIVE").data
    expect("the tree", {"above", "below"} <= {c.name for c in listed}, True)
    change = models.UpdateCompartmentDetails(description="changed")
    identity.fails(412, "NoEtagMatch", "update_compartment", below.id, change, if_match="other")
    expect("changed", identity.call("update_compartment", below.id, change).data.description, "changed")
    identity.call("delete_compartment", below.id)
    identity.call("delete_compartment", above.id)


def people(identity):
    """A user with a key, in a group; the key signs requests."""
    root = identity.tenancy
    user = identity.call("create_user", models.CreateUserDetails(
        compartment_id=root, name="sdk-user", description="of a test", email="user@example.org")).data
    expect("by name", [u.id for u in identity.call("list_users", root, name="sdk-user").data], [user.id])
    identity.call("update_user", user.id, models.UpdateUserDetails(description="changed"))
    expect("changed", identity.call("get_user", user.id).data.description, "changed")

    private = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True).stdout
    convert = lambda *form: subprocess.run(
        ["openssl", "rsa", "-pubout", *form], input=private.encode(), capture_output=True, check=True).stdout
    key = identity.call("upload_api_key", user.id, models.CreateApiKeyDetails(key=convert().decode())).data
    digest = subprocess.run(["openssl", "md5", "-c"], input=convert("-outform", "DER"), capture_output=True, check=True)
    expect("the fingerprint", key.fingerprint, digest.stdout.decode().split("= ")[1].strip())
    expect("the key's name", key.key_id, f"{root}/{user.id}/{key.fingerprint}")
    expect("keys", [k.fingerprint for k in identity.call("list_api_keys", user.id).data], [key.fingerprint])

    group = identity.call("create_group", models.CreateGroupDetails(
        compartment_id=root, name="sdk-group", description="of a test")).data
    identity.call("update_group", group.id, models.UpdateGroupDetails(description="changed"))
    expect("the group", identity.call("get_group", group.id).data.description, "changed")
    expect("groups", [g.id for g in identity.call("list_groups", root, name="sdk-group").data], [group.id])
    member = identity.call("add_user_to_group", models.AddUserToGroupDetails(user_id=user.id, group_id=group.id)).data
    expect("membership", identity.call("get_user_group_membership", member.id).data.group_id, group.id)
    listed = identity.call("list_user_group_memberships", root, user_id=user.id).data
    expect("memberships", [m.id for m in listed], [member.id])

    own = dict(identity.config, user=user.id, fingerprint=key.fingerprint, key_content=private, key_file=None)
    themself = IdentityClient(own, **identity.options)
    may_not = lambda: themself.list_users(root)
    refused(404, may_not)
    policy = identity.call("create_policy", models.CreatePolicyDetails(
        compartment_id=root, name="sdk-policy", description="of a test",
        statements=["Allow group sdk-group to inspect users in tenancy"])).data
    expect("what the policy allows", bool(themself.list_users(root).data), True)
    identity.call("delete_policy", policy.id)
    blocked = identity.call("update_user_state", user.id, models.UpdateStateDetails(blocked=False)).data
    expect("the user's state", blocked.lifecycle_state, "ACTIVE")

    identity.call("remove_user_from_group", member.id)
    identity.call("delete_group", group.id)
    identity.call("delete_api_key", user.id, key.fingerprint)
    identity.call("delete_user", user.id)


def policies(identity):
    """Create, get, list, update."""
    root = identity.tenancy
    made = identity.call("create_policy", models.CreatePolicyDetails(
        compartment_id=root, name="sdk-policy", description="of a test",
        statements=["Allow group Administrators to read clusters in tenancy"])).data
    change = models.UpdatePolicyDetails(statements=["Allow group Administrators to use clusters in tenancy"])
    identity.call("update_policy", made.id, change)
    expect("the policy", identity.call("get_policy", made.id).data.statements, change.statements)
    expect("listed", made.id in [p.id for p in identity.call("list_policies", root).data], True)
    identity.fails(400, "InvalidParameter", "update_policy", made.id, models.UpdatePolicyDetails(statements=["Nobody"]))
    identity.call("delete_policy", made.id)


def refused(status, call):
    """Fails unless the call is answered so."""
    try:
        call()
    except oci.exceptions.ServiceError as error:
        expect("refused", error.status, status)
        return
    raise Mismatch("this should have been refused")
