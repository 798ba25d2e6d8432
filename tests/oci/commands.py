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


def drive(ce):
    """From nothing to a node that kubectl shows, and back."""
    tenancy = ce.tenancy
    version = data("oci ce cluster-options get --cluster-option-id all")["kubernetes-versions"][-1]
    vcn = a_vcn(ce, version)
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
    placement, pods = pool_details(ce, cluster, shape)
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


def a_vcn(ce, version):
    """The network of a cluster that named none: the command insists on one."""
    from container_engine import finished
    from oci.container_engine import models
    made = ce.client.create_cluster(models.CreateClusterDetails(
        name="network", compartment_id=ce.tenancy, kubernetes_version=version))
    cluster = finished(ce, made)
    vcn = ce.client.get_cluster(cluster).data.vcn_id
    finished(ce, ce.client.delete_cluster(cluster))
    return vcn


def pool_details(_, __, shape):
    """Placement and pods of a pool."""
    return json.dumps([{"faultDomain": ["FAULT-DOMAIN-1"]}]), json.dumps({"shape": shape})


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
