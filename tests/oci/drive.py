"""Drives the cloud with OCI's own clients, and compares with the table of what is offered.

    drive.py OPERATIONS.json [SERVICE...]

Needs the variables of env.sh. Says which operations were called, and fails at the first answer that is not what the
SDK's models say, at an operation that the table calls offered and nobody drove, and at one that it calls refused and
that answers otherwise. A service is a module of this directory: `service()` makes its client, `drive(service)` uses it.
"""

import json
import sys

import commands
import container_engine
import container_instances

SERVICES = {"container_engine": container_engine, "container_instances": container_instances}


def check(name, table):
    """One service; gives its client."""
    module = SERVICES[name]
    service = module.service()
    lines = {line["operation"]: line.get("refused") for line in table if line["service"] == name}
    if sorted(lines) != service.operations:
        raise SystemExit(f"{name}: the table and the SDK differ in {sorted(set(lines) ^ set(service.operations))}")
    module.drive(service)
    for operation, reason in lines.items():
        if reason is not None:
            service.check_refused(operation, reason)
    driven = sorted(service.called)
    refused = sorted(operation for operation, reason in lines.items() if reason is not None)
    print(f"{name}: {len(driven)} operations driven: {' '.join(driven)}")
    print(f"{name}: {len(refused)} operations refused: {' '.join(refused)}")
    left = set(service.operations) - set(driven) - set(refused)
    if left or set(driven) & set(refused):
        raise SystemExit(f"{name}: neither driven nor refused: {sorted(left)}; both: {set(driven) & set(refused)}")
    return service


def main():
    """Everything, or what is named."""
    with open(sys.argv[1], encoding="utf-8") as file:
        table = json.load(file)
    names = sys.argv[2:] or [*SERVICES, "commands"]
    engine = None
    for name in names:
        if name == "commands":
            commands.drive(engine or container_engine.service())
            print("commands: oci and kubectl agree")
        else:
            service = check(name, table)
            engine = service if name == "container_engine" else engine


if __name__ == "__main__":
    main()
