"""What a typed answer of the SDK must be, seen beside the JSON that it was made from.

The SDK forgives: it drops members that it does not know, turns a number into a text, and an unknown word of an
enumeration into UNKNOWN_ENUM_VALUE. Here each of those is a failure.
"""

import inspect
import re

# Members that are ours, and that OCI's models do not have.
ADDITIONS = {("oci.container_engine.models", "Cluster"): {"isPaused"},
             ("oci.container_engine.models", "ClusterSummary"): {"isPaused"},
             ("oci.container_engine.models", "WorkRequest"): {"percentComplete"},
             ("oci.container_engine.models", "PodShapeSummary"): {"isOffered"},
             ("oci.container_engine.models", "WorkRequestSummary"): {"percentComplete"},
             ("oci.container_instances.models", "ContainerVnic"): {"subnetId", "privateIp"}}
UNKNOWN = "UNKNOWN_ENUM_VALUE"
PLAIN = {
    "str": str, "int": int, "bool": bool, "float": (int, float), "datetime": str, "date": str, "object": object,
}


class Mismatch(AssertionError):
    """The wire is not what the SDK's model says."""


def expect(what, found, wanted):
    """Fails unless they are equal."""
    if found != wanted:
        raise Mismatch(f"{what}: {found!r} instead of {wanted!r}")


def check_model(model, raw, at):
    """Fails unless `model` holds all of `raw`, in the types and with the required members of its class."""
    kind = type(model)
    package = kind.__module__.rsplit(".", 1)[0]
    extra = ADDITIONS.get((package, kind.__name__), set())
    if not isinstance(raw, dict):
        raise Mismatch(f"{at}: {kind.__name__} from {type(raw).__name__}")
    unknown = set(raw) - set(model.attribute_map.values()) - extra
    if unknown:
        raise Mismatch(f"{at}: {kind.__name__} has no {sorted(unknown)}")
    for name, wire in model.attribute_map.items():
        value = getattr(model, name)
        if wire in raw:
            check_value(value, raw[wire], model.swagger_types[name], f"{at}.{wire}")
        elif is_required(kind, name):
            raise Mismatch(f"{at}: {kind.__name__} must have {wire}")


def check_value(value, raw, declared, at):
    """Fails unless the wire has the declared type."""
    if raw is None:
        raise Mismatch(f"{at}: null: what is not there is left out")
    inner = re.fullmatch(r"list\[(.*)\]", declared)
    if inner:
        if not isinstance(raw, list) or len(raw) != len(value):
            raise Mismatch(f"{at}: {declared} from {raw!r}")
        for number, (item, wire) in enumerate(zip(value, raw)):
            check_value(item, wire, inner[1], f"{at}[{number}]")
        return
    inner = re.fullmatch(r"dict\(str, (.*)\)", declared)
    if inner:
        if not isinstance(raw, dict):
            raise Mismatch(f"{at}: {declared} from {raw!r}")
        for key, wire in raw.items():
            check_value(value[key], wire, inner[1], f"{at}.{key}")
        return
    if declared in PLAIN:
        plain = PLAIN[declared]
        wrong_bool = isinstance(raw, bool) and declared in ("int", "float")
        if not isinstance(raw, plain) or wrong_bool:
            raise Mismatch(f"{at}: {declared} from {raw!r}")
        if isinstance(value, str) and value == UNKNOWN:
            raise Mismatch(f"{at}: {raw!r} is no word of its enumeration")
        return
    check_model(value, raw, at)


def is_required(kind, name):
    """Whether the model's own documentation says that a member is always there."""
    return "**[Required]**" in (inspect.getdoc(getattr(kind, name)) or "")
