"""Drives every operation of the Container Instances API, as a program with the SDK would."""

import base64
import os
import uuid

import oci
from oci.container_instances import ContainerInstanceClient, ContainerInstanceClientCompositeOperations, models
from oci.core import VirtualNetworkClient
from oci.core.models import CreateSubnetDetails, CreateVcnDetails
from oci.identity import IdentityClient
from oci.identity.models import CreateCompartmentDetails

from checks import Mismatch, expect
from service import Service

TAGS = {"team": "a"}
QUICK = {"max_interval_seconds": 1, "max_wait_seconds": 120}
SHAPE = "CI.Standard.E4.Flex"


def service():
    """The client."""
    return Service("container_instances", oci.container_instances, ContainerInstanceClient)


def encoded(text):
    """The text in base64."""
    return base64.b64encode(text.encode()).decode()


def finished(ci, response, expected="SUCCEEDED"):
    """Follows the work that an answer began; gives the id of what it was about."""
    work = ci.client.get_work_request(response.headers["opc-work-request-id"])
    oci.wait_until(ci.client, work, evaluate_response=lambda answer: answer.data.time_finished is not None, **QUICK)
    work = ci.call("get_work_request", response.headers["opc-work-request-id"]).data
    if work.status != expected:
        errors = ci.call("list_work_request_errors", work.id).data
        raise Mismatch(f"{work.operation_type} ended {work.status}: {errors}")
    return work.resources[0].identifier


class Place:
    """Where instances lie: a subnet and a compartment of their own, made and removed with other clients of the SDK."""

    def __init__(self, ci):
        self.root = ci.tenancy
        self.identity = IdentityClient(ci.config, **ci.options)
        self.network = VirtualNetworkClient(ci.config, **ci.options)
        self.domain = self.identity.list_availability_domains(self.root).data[0].name
        self.compartment = self.identity.create_compartment(CreateCompartmentDetails(
            compartment_id=self.root, name="sdk-instances", description="of tests/oci")).data.id
        self.vcn = self.network.create_vcn(CreateVcnDetails(
            compartment_id=self.root, display_name="sdk-instances", cidr_blocks=["10.8.0.0/16"])).data.id
        self.subnet = self.network.create_subnet(CreateSubnetDetails(
            compartment_id=self.root, vcn_id=self.vcn, cidr_block="10.8.1.0/24")).data.id

    def remove(self):
        """All of it."""
        self.network.delete_subnet(self.subnet)
        self.network.delete_vcn(self.vcn)
        self.identity.delete_compartment(self.compartment)

    def details(self, name, containers, **more):
        """A typed instance with these containers."""
        return models.CreateContainerInstanceDetails(
            compartment_id=self.root, display_name=name, availability_domain=self.domain, shape=SHAPE,
            shape_config=models.CreateContainerInstanceShapeConfigDetails(ocpus=1, memory_in_gbs=2),
            containers=containers, vnics=[models.CreateContainerVnicDetails(subnet_id=self.subnet)], **more)


def image(name):
    """An image of the local registry."""
    return f"{os.environ['HAKO_REGISTRY']}/demo/{name}:1"


def drive(ci):
    """All of it."""
    place = Place(ci)
    shapes(ci, place)
    instance = create(ci, place)
    web, side = containers(ci, instance)
    logs(ci, web, side)
    updates(ci, instance, side)
    lists(ci, place, instance)
    states(ci, instance)
    move(ci, place, instance)
    work_requests(ci, instance)
    refusals(ci, place, instance)
    finished(ci, ci.call("delete_container_instance", instance))
    expect("the deleted instance", ci.call("get_container_instance", instance).data.lifecycle_state, "DELETED")
    failure(ci, place)
    composite(ci, place)
    place.remove()


def shapes(ci, place):
    """The shapes."""
    found = ci.call("list_container_instance_shapes", ci.tenancy, availability_domain=place.domain).data.items
    expect("the shape is there", SHAPE in [shape.name for shape in found], True)


def details_of_web():
    """A web server with files and a health check by HTTP."""
    return models.CreateContainerDetails(
        display_name="web", image_url=image("web"),
        environment_variables={"GREETING": "hello"},
        freeform_tags=TAGS, defined_tags={"ops": {"cost": "42"}},
        volume_mounts=[models.CreateVolumeMountDetails(volume_name="conf", mount_path="/etc/app", is_read_only=True),
                       models.CreateVolumeMountDetails(volume_name="work", mount_path="/work", sub_path="web")],
        health_checks=[models.CreateContainerHttpHealthCheckDetails(
            name="answers", path="/healthz", port=80, interval_in_seconds=1, timeout_in_seconds=2,
            failure_threshold=3, success_threshold=1, initial_delay_in_seconds=0, failure_action="KILL",
            headers=[models.HealthCheckHttpHeader(name="x-from", value="check")])])


def details_of_side():
    """A shell with limits, a user of its own and a health check by TCP."""
    return models.CreateContainerDetails(
        display_name="side", image_url=image("busybox"), working_directory="/tmp",
        command=["sh", "-c"], arguments=["echo $0; exec sleep 3600", "started"],
        is_resource_principal_disabled=True,
        resource_config=models.CreateContainerResourceConfigDetails(vcpus_limit=0.5, memory_limit_in_gbs=0.25),
        volume_mounts=[models.CreateVolumeMountDetails(volume_name="work", mount_path="/work")],
        health_checks=[models.CreateContainerTcpHealthCheckDetails(
            port=80, interval_in_seconds=1, failure_action="NONE")],
        security_context=models.CreateLinuxSecurityContextDetails(
            run_as_user=1000, run_as_group=1000, is_non_root_user_check_enabled=True,
            is_root_file_system_readonly=True,
            capabilities=models.ContainerCapabilities(
                add_capabilities=["CAP_NET_BIND_SERVICE"], drop_capabilities=["CAP_CHOWN", "CAP_MKNOD"])))


def create(ci, place):
    """An instance with as much as can be said of one; gives its id."""
    wanted = place.details(
        "sdk", [details_of_web(), details_of_side()],
        fault_domain="FAULT-DOMAIN-1",
        volumes=[
            models.CreateContainerConfigFileVolumeDetails(name="conf", configs=[
                models.ContainerConfigFile(file_name="a.txt", data=encoded("first"), path="sub")]),
            models.CreateContainerEmptyDirVolumeDetails(name="work", backing_store="MEMORY")],
        dns_config=models.CreateContainerDnsConfigDetails(
            nameservers=["10.96.0.10"], searches=["example.com"], options=["ndots:2"]),
        graceful_shutdown_timeout_in_seconds=1,
        image_pull_secrets=[models.CreateBasicImagePullSecretDetails(
            registry_endpoint="registry.example", username=encoded("user"), password=encoded("secret"))],
        container_restart_policy="ALWAYS",
        freeform_tags=TAGS, defined_tags={"ops": {"cost": "42"}})
    once = uuid.uuid4().hex
    made = ci.call("create_container_instance", wanted, opc_retry_token=once)
    again = ci.call("create_container_instance", wanted, opc_retry_token=once)
    expect("the same create", again.data.id, made.data.id)
    expect("its work", finished(ci, made), made.data.id)
    found = ci.call("get_container_instance", made.data.id).data
    for name in ["display_name", "compartment_id", "availability_domain", "fault_domain", "shape", "freeform_tags",
                 "defined_tags", "graceful_shutdown_timeout_in_seconds", "container_restart_policy"]:
        expect(name, getattr(found, name), getattr(wanted, name))
    expect("the state", (found.lifecycle_state, found.container_count, found.volume_count), ("ACTIVE", 2, 2))
    expect("the size", (found.shape_config.ocpus, found.shape_config.memory_in_gbs), (1, 2))
    conf, work = found.volumes
    expect("the files", (type(conf), [(file.file_name, file.data, file.path) for file in conf.configs]),
           (models.ContainerConfigFileVolume, [("a.txt", encoded("first"), "sub")]))
    expect("the memory", (type(work), work.backing_store), (models.ContainerEmptyDirVolume, "MEMORY"))
    expect("the resolver", (found.dns_config.nameservers, found.dns_config.options), (["10.96.0.10"], ["ndots:2"]))
    expect("the secret", [(type(secret), secret.registry_endpoint) for secret in found.image_pull_secrets],
           [(models.BasicImagePullSecret, "registry.example")])
    # Our addition, of which the SDK knows nothing.
    expect("the network", ci.raw[-1]["vnics"][0]["subnetId"], place.subnet)
    return made.data.id


def containers(ci, instance):
    """Get and list; gives the containers' ids."""
    listed = ci.call("list_containers", ci.tenancy, container_instance_id=instance, sort_by="displayName").data.items
    expect("containers", [(c.display_name, c.lifecycle_state) for c in listed], [("side", "ACTIVE"), ("web", "ACTIVE")])
    side, web = (ci.call("get_container", one.id).data for one in listed)
    wanted = details_of_web()
    for name in ["display_name", "image_url", "environment_variables", "freeform_tags", "defined_tags"]:
        expect(name, getattr(web, name), getattr(wanted, name))
    expect("mounts", [(m.volume_name, m.mount_path, m.sub_path, m.is_read_only) for m in web.volume_mounts],
           [("conf", "/etc/app", None, True), ("work", "/work", "web", None)])
    check = web.health_checks[0]
    expect("the check", (type(check), check.name, check.path, check.port, check.headers[0].name, check.failure_action),
           (models.ContainerHttpHealthCheck, "answers", "/healthz", 80, "x-from", "KILL"))
    healthy = lambda answer: answer.data.health_checks[0].status == "HEALTHY"
    for one in [web, side]:
        oci.wait_until(ci.client, ci.client.get_container(one.id), evaluate_response=healthy, **QUICK)
    side = ci.call("get_container", side.id).data
    wanted = details_of_side()
    for name in ["command", "arguments", "working_directory", "is_resource_principal_disabled"]:
        expect(name, getattr(side, name), getattr(wanted, name))
    expect("the other check", (type(side.health_checks[0]), side.health_checks[0].port),
           (models.ContainerTcpHealthCheck, 80))
    expect("limits", (side.resource_config.vcpus_limit, side.resource_config.memory_limit_in_gbs), (0.5, 0.25))
    context = side.security_context
    expect("the user", (type(context), context.run_as_user, context.is_root_file_system_readonly),
           (models.LinuxSecurityContext, 1000, True))
    expect("capabilities", context.capabilities.drop_capabilities, ["CAP_CHOWN", "CAP_MKNOD"])
    return web.id, side.id


def logs(ci, web, side):
    """What containers wrote, of this run and of none before it."""
    text = lambda answer: b"".join(answer.data.raw.stream(1 << 16, decode_content=True)).decode()
    expect("the log", text(ci.call("retrieve_logs", side)), "started\n")
    expect("the checks are in the log", "/healthz" in text(ci.call("retrieve_logs", web, is_previous=False)), True)


def updates(ci, instance, side):
    """Names and tags."""
    etag = ci.call("get_container_instance", instance).headers["etag"]
    change = models.UpdateContainerInstanceDetails(display_name="renamed", freeform_tags={"team": "b"})
    ci.fails(412, "NoEtagMatch", "update_container_instance", instance, change, if_match="other")
    finished(ci, ci.call("update_container_instance", instance, change, if_match=etag))
    found = ci.call("get_container_instance", instance).data
    expect("the update", (found.display_name, found.freeform_tags), ("renamed", {"team": "b"}))
    etag = ci.call("get_container", side).headers["etag"]
    change = models.UpdateContainerDetails(display_name="beside", defined_tags={"ops": {"cost": "43"}})
    expect("what was updated", finished(ci, ci.call("update_container", side, change, if_match=etag)), side)
    found = ci.call("get_container", side).data
    expect("the update", (found.display_name, found.defined_tags), ("beside", {"ops": {"cost": "43"}}))


def lists(ci, place, instance):
    """Filters and pages."""
    one = finished(ci, ci.call("create_container_instance", place.details("another", [
        models.CreateContainerDetails(image_url=image("busybox"), command=["sleep", "3600"])],
        graceful_shutdown_timeout_in_seconds=0)))
    active = {"lifecycle_state": "ACTIVE", "limit": 1, "sort_by": "displayName"}
    listed = ci.call("list_container_instances", ci.tenancy, sort_order="ASC", **active)
    expect("a page", ([i.id for i in listed.data.items], listed.has_next_page), ([one], True))
    pages = oci.pagination.list_call_get_all_results(
        ci.client.list_container_instances, ci.tenancy, sort_order="DESC", **active)
    expect("all pages", [i.id for i in pages.data], [instance, one])
    named = ci.call("list_container_instances", ci.tenancy, display_name="renamed", availability_domain=place.domain)
    expect("by name", [i.id for i in named.data.items], [instance])
    named = ci.call("list_containers", ci.tenancy, display_name="beside", lifecycle_state="ACTIVE")
    expect("containers by name", [c.container_instance_id for c in named.data.items], [instance])
    finished(ci, ci.call("delete_container_instance", one))


def states(ci, instance):
    """Stop, start and restart."""
    state = lambda: ci.call("get_container_instance", instance).data.lifecycle_state
    ci.fails(409, "IncorrectState", "start_container_instance", instance)
    finished(ci, ci.call("stop_container_instance", instance))
    expect("stopped", state(), "INACTIVE")
    finished(ci, ci.call("start_container_instance", instance))
    expect("started", state(), "ACTIVE")
    finished(ci, ci.call("restart_container_instance", instance))
    expect("restarted", state(), "ACTIVE")


def move(ci, place, instance):
    """To another compartment and back."""
    for compartment in [place.compartment, ci.tenancy]:
        finished(ci, ci.call("change_container_instance_compartment", instance,
                             models.ChangeContainerInstanceCompartmentDetails(compartment_id=compartment)))
        listed = ci.call("list_container_instances", compartment, lifecycle_state="ACTIVE").data.items
        expect("where it is", [(i.id, i.compartment_id) for i in listed], [(instance, compartment)])


def work_requests(ci, instance):
    """List with filters, logs and errors."""
    kinds, page = [], None
    while True:
        more = {} if page is None else {"page": page}
        answer = ci.call("list_work_requests", ci.tenancy, limit=3, sort_by="timeAccepted", sort_order="ASC", **more)
        kinds += [work.operation_type for work in answer.data.items if work.resources[0].identifier == instance]
        if not answer.has_next_page:
            break
        page = answer.next_page
    expect("the first work", kinds[0], "CREATE_CONTAINER_INSTANCE")
    for kind in ["UPDATE", "STOP", "START", "RESTART", "MOVE"]:
        expect(f"{kind} is there", f"{kind}_CONTAINER_INSTANCE" in kinds, True)
    work = ci.call("list_work_requests", ci.tenancy, status="SUCCEEDED", limit=1).data.items[0]
    named = ci.call("list_work_requests", ci.tenancy, work_request_id=work.id).data.items
    expect("by id", [found.id for found in named], [work.id])
    expect("there are logs", bool(ci.call("list_work_request_logs", work.id).data.items), True)
    expect("no errors", ci.call("list_work_request_errors", work.id).data.items, [])


def refusals(ci, place, instance):
    """Errors are the SDK's errors."""
    ci.fails(404, "NotAuthorizedOrNotFound", "get_container_instance", instance[:-4] + "aaaa")
    ci.fails(404, "NotAuthorizedOrNotFound", "get_container", "x")
    ci.fails(400, "InvalidParameter", "create_container_instance", place.details("none", []))
    vault = models.CreateVaultImagePullSecretDetails(registry_endpoint="registry.example", secret_id="x")
    one = models.CreateContainerDetails(image_url=image("busybox"))
    why = ci.fails(400, "InvalidParameter", "create_container_instance",
                   place.details("vault", [one], image_pull_secrets=[vault]))
    expect("why", "there is no vault here" in why, True)


def failure(ci, place):
    """An instance whose image does not exist says so."""
    one = models.CreateContainerDetails(image_url=image("no-such-image"))
    made = ci.call("create_container_instance", place.details("bad", [one]))
    finished(ci, made, expected="FAILED")
    errors = ci.call("list_work_request_errors", made.headers["opc-work-request-id"]).data.items
    expect("the error names it", "no-such-image" in errors[0].message, True)
    expect("failed", ci.call("get_container_instance", made.data.id).data.lifecycle_state, "FAILED")
    finished(ci, ci.call("delete_container_instance", made.data.id))


def composite(ci, place):
    """What the SDK offers on top: calls that wait. A job: it ends by itself."""
    both = ContainerInstanceClientCompositeOperations(ci.client)
    job = models.CreateContainerDetails(image_url=image("busybox"), command=["sh", "-c", "echo done; exit 3"])
    made = both.create_container_instance_and_wait_for_state(
        place.details("job", [job], container_restart_policy="NEVER"), wait_for_states=["SUCCEEDED"],
        waiter_kwargs=QUICK)
    instance = made.data.resources[0].identifier
    found = ci.client.get_container_instance(instance)
    ended = oci.wait_until(ci.client, found, "lifecycle_state", "INACTIVE", **QUICK)
    container = ci.call("get_container", ended.data.containers[0].container_id).data
    expect("its end", (container.exit_code, container.lifecycle_state), (3, "INACTIVE"))
    expect("when it ended", container.time_terminated is not None, True)
    both.delete_container_instance_and_wait_for_state(instance, wait_for_states=["SUCCEEDED"], waiter_kwargs=QUICK)
