"""Drives every operation of the Container Engine API that is offered, as a program with the SDK would."""

import uuid

import oci
from oci.container_engine import ContainerEngineClient, ContainerEngineClientCompositeOperations, models

from checks import Mismatch, expect
from service import Service

TAGS = {"team": "a"}


def service():
    """The client."""
    return Service("container_engine", oci.container_engine, ContainerEngineClient)


def finished(ce, response, expected="SUCCEEDED"):
    """Follows the work that an answer began; gives the id of what it was about."""
    work = ce.client.get_work_request(response.headers["opc-work-request-id"])
    is_over = lambda answer: answer.data.time_finished is not None
    oci.wait_until(ce.client, work, evaluate_response=is_over, max_interval_seconds=1, max_wait_seconds=120)
    work = ce.call("get_work_request", response.headers["opc-work-request-id"]).data
    if work.status != expected:
        errors = ce.call("list_work_request_errors", ce.tenancy, work.id).data
        raise Mismatch(f"{work.operation_type} ended {work.status}: {errors}")
    return work.resources[0].identifier


def drive(ce):
    """All of it."""
    options = ce.call("get_cluster_options", "all").data
    shapes = ce.call("list_pod_shapes", ce.tenancy).data
    cluster = clusters(ce, options.kubernetes_versions[-1])
    pool = pools(ce, cluster, shapes[0].name)
    nodes(ce, pool)
    rotation(ce, cluster)
    work_requests(ce, cluster)
    absent(ce, cluster, options.kubernetes_versions)
    refusals(ce, cluster)
    finished(ce, ce.call("delete_virtual_node_pool", pool))
    finished(ce, ce.call("delete_cluster", cluster))
    expect("the deleted cluster", ce.call("get_cluster", cluster).data.lifecycle_state, "DELETED")
    composite(ce, options.kubernetes_versions[-1])


def details_of_cluster(ce, name, version):
    """A typed cluster with as much as can be said of one. Without `vcn_id`, one is made: our addition."""
    return models.CreateClusterDetails(
        name=name,
        compartment_id=ce.tenancy,
        kubernetes_version=version,
        type="ENHANCED_CLUSTER",
        freeform_tags=TAGS,
        defined_tags={"ops": {"cost": "42"}},
        options=models.ClusterCreateOptions(
            kubernetes_network_config=models.KubernetesNetworkConfig(
                pods_cidr="10.244.0.0/16", services_cidr="10.96.0.0/16"),
            add_ons=models.AddOnOptions(is_kubernetes_dashboard_enabled=False, is_tiller_enabled=False),
            admission_controller_options=models.AdmissionControllerOptions(is_pod_security_policy_enabled=False),
            service_lb_config=models.ServiceLbConfigDetails(freeform_tags=TAGS),
            persistent_volume_config=models.PersistentVolumeConfigDetails(freeform_tags=TAGS)),
        cluster_pod_network_options=[models.OciVcnIpNativeClusterPodNetworkOptionDetails()])


def clusters(ce, version):
    """Create, get, list, update, kubeconfig; gives the cluster's id."""
    expect("clusters at first", ce.call("list_clusters", ce.tenancy, lifecycle_state=["ACTIVE"]).data, [])
    wanted = details_of_cluster(ce, "sdk", version)
    once = uuid.uuid4().hex
    made = ce.call("create_cluster", wanted, opc_retry_token=once)
    again = ce.call("create_cluster", wanted, opc_retry_token=once)
    work = "opc-work-request-id"
    expect("the same create", again.headers[work], made.headers[work])
    cluster = finished(ce, made)
    answer = ce.call("get_cluster", cluster)
    found = answer.data
    for name in ["name", "compartment_id", "kubernetes_version", "type", "freeform_tags", "defined_tags"]:
        expect(name, getattr(found, name), getattr(wanted, name))
    expect("pods_cidr", found.options.kubernetes_network_config.pods_cidr, "10.244.0.0/16")
    expect("cni_type", found.cluster_pod_network_options[0].cni_type, "OCI_VCN_IP_NATIVE")
    expect("its maker", found.metadata.created_by_user_id, ce.user)
    expect("upgrades", ce.call("get_cluster_options", cluster).data.kubernetes_versions,
           found.available_kubernetes_upgrades)

    change = models.UpdateClusterDetails(name="renamed", freeform_tags={"team": "b"})
    ce.fails(412, "NoEtagMatch", "update_cluster", cluster, change, if_match="other")
    finished(ce, ce.call("update_cluster", cluster, change, if_match=answer.headers["etag"]))
    found = ce.call("get_cluster", cluster).data
    expect("the update", (found.name, found.freeform_tags), ("renamed", {"team": "b"}))

    second = finished(ce, ce.call("create_cluster", models.CreateClusterDetails(
        name="second", compartment_id=ce.tenancy, kubernetes_version=version)))
    expect("the default type", ce.call("get_cluster", second).data.type, "BASIC_CLUSTER")
    active = {"lifecycle_state": ["ACTIVE"], "limit": 1, "sort_by": "NAME"}
    listed = ce.call("list_clusters", ce.tenancy, sort_order="DESC", **active)
    expect("a page", [(c.name, listed.has_next_page) for c in listed.data], [("second", True)])
    pages = oci.pagination.list_call_get_all_results(
        ce.client.list_clusters, ce.tenancy, sort_order="ASC", **active)
    expect("all pages", [c.name for c in pages.data], ["renamed", "second"])
    named = ce.call("list_clusters", ce.tenancy, name="second", lifecycle_state=["ACTIVE", "CREATING"])
    expect("by name", [c.id for c in named.data], [second])
    finished(ce, ce.call("delete_cluster", second))

    content = ce.call("create_kubeconfig", cluster, create_cluster_kubeconfig_content_details=(
        models.CreateClusterKubeconfigContentDetails(token_version="2.0.0", endpoint="PUBLIC_ENDPOINT")))
    text = b"".join(content.data.raw.stream(1 << 20, decode_content=True)).decode()
    expect("the kubeconfig", "generate-token" in text and cluster in text, True)
    return cluster


def pools(ce, cluster, shape):
    """Create, get, list, update; gives the pool's id."""
    wanted = models.CreateVirtualNodePoolDetails(
        compartment_id=ce.tenancy,
        cluster_id=cluster,
        display_name="pool",
        size=2,
        placement_configurations=[models.PlacementConfiguration(fault_domain=["FAULT-DOMAIN-1", "FAULT-DOMAIN-2"])],
        pod_configuration=models.PodConfiguration(shape=shape),
        initial_virtual_node_labels=[models.InitialVirtualNodeLabel(key="tier", value="web")],
        taints=[models.Taint(key="only", value="web", effect="NoSchedule")],
        freeform_tags=TAGS,
        virtual_node_tags=models.VirtualNodeTags(freeform_tags=TAGS))
    pool = finished(ce, ce.call("create_virtual_node_pool", wanted))
    answer = ce.call("get_virtual_node_pool", pool)
    found = answer.data
    expect("the pool", (found.display_name, found.size, found.lifecycle_state), ("pool", 2, "ACTIVE"))
    expect("labels", [(l.key, l.value) for l in found.initial_virtual_node_labels], [("tier", "web")])
    expect("taints", [(t.key, t.effect) for t in found.taints], [("only", "NoSchedule")])
    change = models.UpdateVirtualNodePoolDetails(size=3, display_name="wider")
    finished(ce, ce.call("update_virtual_node_pool", pool, change, if_match=answer.headers["etag"]))
    listed = ce.call("list_virtual_node_pools", ce.tenancy, cluster_id=cluster, lifecycle_state=["ACTIVE"])
    expect("pools", [(p.id, p.display_name, p.size) for p in listed.data], [(pool, "wider", 3)])
    return pool


def nodes(ce, pool):
    """List and get."""
    listed = ce.call("list_virtual_nodes", pool, sort_by="TIME_CREATED").data
    expect("nodes", len(listed), 3)
    one = ce.call("get_virtual_node", pool, listed[0].id).data
    expect("a node", (one.virtual_node_pool_id, one.lifecycle_state), (pool, "ACTIVE"))


def rotation(ce, cluster):
    """New credentials, in two steps."""
    status = lambda: ce.call("get_credential_rotation_status", cluster).data
    expect("no rotation", (status().status, status().status_details), ("COMPLETED", "COMPLETED"))
    ce.fails(409, "IncorrectState", "complete_credential_rotation", cluster)
    details = models.StartCredentialRotationDetails(auto_completion_delay_duration="P5D")
    finished(ce, ce.call("start_credential_rotation", cluster, details))
    found = status()
    expect("it waits", (found.status, found.status_details), ("WAITING", "NEW_CREDENTIALS_ISSUED"))
    expect("until when", found.time_auto_completion_scheduled is not None, True)
    finished(ce, ce.call("complete_credential_rotation", cluster))
    expect("it is over", status().status, "COMPLETED")


def absent(ce, cluster, versions):
    """Lists of what there is none of."""
    options = ce.call("get_node_pool_options", "all").data
    expect("versions of node pools", options.kubernetes_versions, versions)
    expect("shapes of node pools", (options.shapes, options.images, options.sources), ([], [], []))
    expect("add-on options", ce.call("list_addon_options", versions[-1]).data, [])
    expect("add-ons", ce.call("list_addons", cluster).data, [])
    expect("node pools", ce.call("list_node_pools", ce.tenancy, cluster_id=cluster).data, [])
    expect("mappings", ce.call("list_workload_mappings", cluster).data, [])


def work_requests(ce, cluster):
    """List with filters, logs and errors."""
    listed = ce.call("list_work_requests", ce.tenancy, cluster_id=cluster, status=["SUCCEEDED"],
                     sort_by="TIME_ACCEPTED", sort_order="ASC").data
    kinds = [work.operation_type for work in listed]
    expect("the first work", kinds[0], "CLUSTER_CREATE")
    expect("pools' work is there", "VIRTUALNODEPOOL_CREATE" in kinds, True)
    logs = ce.call("list_work_request_logs", ce.tenancy, listed[0].id).data
    expect("there are logs", bool(logs), True)
    expect("no errors", ce.call("list_work_request_errors", ce.tenancy, listed[0].id).data, [])
    # Work begins as soon as it is accepted: there is never any to take back.
    why = ce.call_fails(409, "IncorrectState", "delete_work_request", listed[0].id)
    expect("why it stays", "SUCCEEDED" in why, True)


def refusals(ce, cluster):
    """Errors are the SDK's errors."""
    other = cluster[:-4] + "aaaa"
    ce.fails(404, "NotAuthorizedOrNotFound", "get_cluster", other)
    ce.fails(400, "InvalidParameter", "create_cluster", models.CreateClusterDetails(
        name="", compartment_id=ce.tenancy, kubernetes_version="v0.1.0"))
    stranger = ContainerEngineClient(dict(ce.config, user=ce.user[:-4] + "aaaa"), **ce.options)
    try:
        stranger.list_clusters(ce.tenancy)
    except oci.exceptions.ServiceError as error:
        expect("a stranger", (error.status, error.code), (401, "NotAuthenticated"))
    else:
        raise Mismatch("a stranger got in")


def composite(ce, version):
    """What the SDK offers on top: calls that wait."""
    both = ContainerEngineClientCompositeOperations(ce.client)
    quick = {"max_interval_seconds": 1, "max_wait_seconds": 120}
    made = both.create_cluster_and_wait_for_state(
        models.CreateClusterDetails(name="waited", compartment_id=ce.tenancy, kubernetes_version=version),
        wait_for_states=["SUCCEEDED"], waiter_kwargs=quick)
    cluster = made.data.resources[0].identifier
    both.delete_cluster_and_wait_for_state(cluster, wait_for_states=["SUCCEEDED"], waiter_kwargs=quick)
