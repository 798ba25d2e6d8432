"""Drives the cloud with OCI's own clients, and compares with the table of what is offered.

    drive.py --services
    drive.py OPERATIONS.json SERVICE...

The first names what there is: the services, and `commands`, which uses the command. The second drives what is named,
with the variables of env.sh. It says which operations were called, and fails at the first answer that is not what the
SDK's models say, at an operation that the table calls offered and nobody drove, and at one that it calls refused, or a
list that is always empty, and that answers otherwise. A service is a module of this directory: `service()` makes its client, `drive(service)` uses
it.
"""

import json
import os
import sys

import oci

import audit
import commands
import container_engine
import container_instances
import identity
import limits
import quotas
import virtual_network

# Of these all operations are in the table; of the others those that work.
WHOLE = {"container_engine": container_engine, "container_instances": container_instances}
SERVICES = {**WHOLE, "identity": identity, "virtual_network": virtual_network, "limits": limits, "quotas": quotas,
            "audit": audit}


def check(name, table):
    """One service."""
    module = SERVICES[name]
    service = module.service()
    lines = {line["operation"]: line.get("refused") for line in table if line["service"] == name}
    different = set(lines) ^ set(service.operations) if name in WHOLE else set(lines) - set(service.operations)
    if different or not lines:
        raise SystemExit(f"{name}: the table and the SDK differ in {sorted(different)}")
    module.drive(service)
    for operation, reason in lines.items():
        if reason is not None:
            service.check_refused(operation, reason)
    driven = sorted(service.called)
    refused = sorted(operation for operation, reason in lines.items() if reason is not None)
    empty = sorted(line["operation"] for line in table if line["service"] == name and "empty" in line)
    if service.filled & set(empty):
        raise SystemExit(f"{name}: the table says that these list nothing: {sorted(service.filled & set(empty))}")
    print(f"{name}: {len(driven)} operations driven: {' '.join(driven)}")
    print(f"{name}: {len(refused)} operations refused: {' '.join(refused)}")
    left, more = set(lines) - set(driven) - set(refused), set(driven) - set(lines) | set(driven) & set(refused)
    if left or more:
        raise SystemExit(f"{name}: neither driven nor refused: {sorted(left)}; driven, but not offered: {sorted(more)}")


def main():
    """What is named."""
    if sys.argv[1] == "--services":
        print("\n".join([*SERVICES, "commands"]))
        return
    with open(sys.argv[1], encoding="utf-8") as file:
        table = json.load(file)
    for name in sys.argv[2:]:
        if name == "commands":
            commands.drive(oci.config.from_file(os.environ["OCI_CONFIG_FILE"])["tenancy"])
            print("commands: oci and kubectl agree")
        else:
            check(name, table)


if __name__ == "__main__":
    main()
