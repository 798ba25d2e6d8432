"""The main operations with the `oci` command, and kubectl with the tokens that it makes."""

import json
import os
import subprocess
import tempfile

from checks import Mismatch

WAIT = "--wait-for-state SUCCEEDED --wait-interval-seconds 1 --max-wait-seconds 120"


def run(line, environment=None):
    """Runs a command that must succeed without a warning; gives what it prints."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=150, check=False,
                          env={**os.environ, **(environment or {})})
    if done.returncode or "warning" in done.stderr.lower():
        raise Mismatch(f"{line}\n{done.stdout}{done.stderr}")
    return done.stdout


def data(line):
    """The same, for commands that print JSON."""
    text = run(line)
    return json.loads(text)["data"] if text.strip() else None


def drive(tenancy):
    """From nothing to a node that kubectl shows, and back."""
    version = data("oci ce cluster-options get --cluster-option-id all")["kubernetes-versions"][-1]
    vcn, subnet = a_vcn(tenancy)
    work = data(f"oci ce cluster create -c {tenancy} --name cli --vcn-id {vcn} --kubernetes-version {version} "
                f"--type ENHANCED_CLUSTER --freeform-tags '{{\"a\": \"b\"}}' {WAIT}")
    cluster = work["resources"][0]["identifier"]
    listed = data(f"oci ce cluster list -c {tenancy} --name cli --lifecycle-state ACTIVE --all")
    if [item["id"] for item in listed] != [cluster]:
        raise Mismatch(f"oci ce cluster list: {listed}")
    run(f"oci ce cluster update --cluster-id {cluster} --name cli2 --force {WAIT}")
    if data(f"oci ce cluster get --cluster-id {cluster}")["name"] != "cli2":
        raise Mismatch("oci ce cluster update changed nothing")
    shape = data(f"oci ce pod-shape list -c {tenancy}")[0]["name"]
    domain = data(f"oci iam availability-domain list -c {tenancy}")[0]["name"]
    placement = json.dumps([{"availabilityDomain": domain, "faultDomain": ["FAULT-DOMAIN-1"], "subnetId": subnet}])
    pods = json.dumps({"shape": shape, "subnetId": subnet})
    work = data(f"oci ce virtual-node-pool create -c {tenancy} --cluster-id {cluster} --display-name pool --size 1 "
                f"--placement-configurations '{placement}' --pod-configuration '{pods}' {WAIT}")
    pool = work["resources"][0]["identifier"]
    nodes = data(f"oci ce virtual-node-pool list-virtual-nodes --virtual-node-pool-id {pool}")
    data(f"oci ce virtual-node-pool get-virtual-node --virtual-node-pool-id {pool} --virtual-node-id {nodes[0]['id']}")
    data(f"oci ce work-request list -c {tenancy} --cluster-id {cluster}")
    data(f"oci ce work-request-log-entry list -c {tenancy} --work-request-id {work['id']}")
    kubectl(cluster, nodes[0]["display-name"])
    run(f"oci ce virtual-node-pool delete --virtual-node-pool-id {pool} --force {WAIT}")
    run(f"oci ce cluster delete --cluster-id {cluster} --force {WAIT}")
    run(f"oci network subnet delete --subnet-id {subnet} --force")
    run(f"oci network vcn delete --vcn-id {vcn} --force")
    people(tenancy)
    instance(tenancy, domain)


def instance(tenancy, domain):
    """A container instance's life; its network is one of its own."""
    vcn, subnet = a_vcn(tenancy)
    image = f"{os.environ['HAKO_REGISTRY']}/demo/busybox:1"
    containers = json.dumps([{"imageUrl": image, "command": ["sh", "-c", "echo hello; exec sleep 3600"]}])
    work = data(f"oci container-instances container-instance create -c {tenancy} --display-name cli "
                f"--availability-domain {domain} --shape CI.Standard.E4.Flex "
                "--shape-config '{\"ocpus\": 1, \"memoryInGBs\": 1}' "
                f"--containers '{containers}' --vnics '[{{\"subnetId\": \"{subnet}\"}}]' "
                f"--graceful-shutdown-timeout-in-seconds 0 {WAIT}")
    made = work["resources"][0]["identifier"]
    listed = data(f"oci container-instances container-instance list -c {tenancy} --display-name cli "
                  "--lifecycle-state ACTIVE --all")["items"]
    if [item["id"] for item in listed] != [made]:
        raise Mismatch(f"oci container-instances container-instance list: {listed}")
    container = data(f"oci container-instances container-instance get --container-instance-id {made}")
    container = container["containers"][0]["container-id"]
    logs = run(f"oci container-instances container retrieve-logs --container-id {container} --file -")
    if logs.strip() != "hello":
        raise Mismatch(f"oci container-instances container retrieve-logs: {logs!r}")
    run(f"oci container-instances container-instance delete --container-instance-id {made} --force {WAIT}")
    run(f"oci network subnet delete --subnet-id {subnet} --force")
    run(f"oci network vcn delete --vcn-id {vcn} --force")


def a_vcn(tenancy):
    """A network with a subnet."""
    vcn = data(f"oci network vcn create -c {tenancy} --display-name cli --cidr-blocks '[\"10.9.0.0/16\"]' "
               "--wait-for-state AVAILABLE --wait-interval-seconds 1")["id"]
    subnet = data(f"oci network subnet create -c {tenancy} --vcn-id {vcn} --display-name cli --cidr-block 10.9.1.0/24 "
                  "--wait-for-state AVAILABLE --wait-interval-seconds 1")["id"]
    if [item["id"] for item in data(f"oci network subnet list -c {tenancy} --vcn-id {vcn}")] != [subnet]:
        raise Mismatch("oci network subnet list does not show the subnet")
    return vcn, subnet


def people(tenancy):
    """Identity's main commands."""
    user = data(f"oci iam user create --name cli-user --description x -c {tenancy}")["id"]
    group = data(f"oci iam group create --name cli-group --description x -c {tenancy}")["id"]
    run(f"oci iam group add-user --user-id {user} --group-id {group}")
    if [item["id"] for item in data(f"oci iam group list-users --group-id {group} -c {tenancy}")] != [user]:
        raise Mismatch("oci iam group list-users does not show the user")
    run(f"oci iam group remove-user --user-id {user} --group-id {group} --force")
    run(f"oci iam group delete --group-id {group} --force")
    run(f"oci iam user delete --user-id {user} --force")
    compartment = data(f"oci iam compartment create -c {tenancy} --name cli-part --description x "
                       "--wait-for-state ACTIVE --wait-interval-seconds 1")["id"]
    if compartment not in [item["id"] for item in data(f"oci iam compartment list -c {tenancy} --all")]:
        raise Mismatch("oci iam compartment list does not show the compartment")
    run(f"oci iam compartment delete --compartment-id {compartment} --force")


def kubectl(cluster, node):
    """Uses the cluster through the kubeconfig and the tokens of `oci`."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "config")
        run(f"oci ce cluster create-kubeconfig --cluster-id {cluster} --file {path} --token-version 2.0.0 "
            "--kube-endpoint PUBLIC_ENDPOINT")
        here = {"KUBECONFIG": path}
        if "command: oci" not in open(path, encoding="utf-8").read():
            raise Mismatch("the kubeconfig of oci does not use oci")
        for version in ["kubectl-1.33", "kubectl-1.37"]:
            if node not in run(f"{version} get nodes", here):
                raise Mismatch(f"{version} does not show {node}")
        who = json.loads(run("kubectl auth whoami -o json", here))
        if who["status"]["userInfo"]["username"] == "":
            raise Mismatch(f"nobody: {who}")
