"""One of the SDK's clients, watched: which operations were called, and whether each answer was what its model says."""

import inspect
import os
import re

import oci

from checks import Mismatch, check_model


class Service:
    """A client of `module` whose every answer is checked."""

    def __init__(self, name, module, client):
        self.name, self.module = name, module
        self.called, self.filled, self.raw = set(), set(), []
        config = oci.config.from_file(os.environ["OCI_CONFIG_FILE"])
        oci.config.validate_config(config)
        self.config = config
        self.tenancy, self.user = config["tenancy"], config["user"]
        # The endpoint is all that differs from a program that uses Oracle's cloud. Errors are seen at once.
        self.options = {"service_endpoint": os.environ["HAKO_ENDPOINT"], "retry_strategy": oci.retry.NoneRetryStrategy()}
        self.client = client(config, **self.options)
        self.client.base_client.session.hooks["response"].append(self._keep)
        self.operations = sorted(n for n, f in inspect.getmembers(client, inspect.isfunction) if is_operation(n, f))

    def _keep(self, response, *_, **__):
        if response.headers.get("content-type") == "application/json":
            self.raw.append(response.json())

    def call(self, operation, *arguments, **options):
        """Calls an operation, which must succeed, and checks its answer; gives the SDK's response."""
        self.raw.clear()
        response = getattr(self.client, operation)(*arguments, **options)
        self.called.add(operation)
        if not response.request_id:
            raise Mismatch(f"{operation}: the answer has no opc-request-id")
        data = response.data
        if hasattr(data, "attribute_map"):
            check_model(data, self.raw[-1], operation)
        elif isinstance(data, list):
            self.filled |= {operation} if data else set()
            for number, (item, raw) in enumerate(zip(data, self.raw[-1], strict=True)):
                check_model(item, raw, f"{operation}[{number}]")
        return response

    def fails(self, status, code, operation, *arguments, **options):
        """Calls an operation that must fail like this, which is not yet to have driven it; gives the message."""
        try:
            getattr(self.client, operation)(*arguments, **options)
        except oci.exceptions.ServiceError as error:
            if (error.status, error.code) != (status, code) or not error.request_id or not error.message:
                raise Mismatch(f"{operation}: expected {status} {code}, got {error}") from error
            return error.message
        raise Mismatch(f"{operation} should have failed with {status} {code}")

    def call_fails(self, status, code, operation, *arguments, **options):
        """The same of an operation that is offered, and whose right answer this is whenever it can be called here."""
        self.called.add(operation)
        return self.fails(status, code, operation, *arguments, **options)

    def check_refused(self, operation, reason):
        """Calls an operation that is not offered, with whatever it takes, and fails unless the answer says so."""
        method = getattr(self.client, operation)
        names = [p.name for p in inspect.signature(method).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD]
        message = self.fails(501, "MethodNotImplemented", operation, *map(self.anything, names))
        if message != f"{operation} is not offered: {reason}":
            raise Mismatch(f"{operation}: the table says {reason!r}, the answer {message!r}")

    def anything(self, name):
        """An argument of that name."""
        if name.endswith("_details"):
            return getattr(self.module.models, "".join(word.capitalize() for word in name.split("_")))()
        return self.tenancy if name == "compartment_id" else "x"


def is_operation(name, function):
    """True for the methods that send a request."""
    return not name.startswith("_") and re.search(r"\n\s+resource_path = ", inspect.getsource(function)) is not None
