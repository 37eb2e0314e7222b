"""A cloud in a directory: the instance protocol on files, for tests of automaton and processes.

`routers/<id>.json` is what Neutron knows, `servers/<id>.json` what Nova runs, `faults/<id>.json`
what is to go wrong, `calls.jsonl` what was done and by whom. Several processes may look at it at
once, so it serves both tests in one process and tests with real workers.
"""

import json
import os
import pathlib
import time

from astara import events
from astara.machine import instance_port
from astara.machine.vocabulary import InstanceState

VARIABLE = "SCRIPTED_CLOUD"


class Cloud:
    """The directory."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        for name in ("routers", "servers", "faults"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def _path(self, kind, name):
        return self.root / kind / f"{name}.json"

    def read(self, kind, name):
        try:
            return json.loads(self._path(kind, name).read_text())
        except FileNotFoundError:
            return None

    def write(self, kind, name, **values):
        path = self._path(kind, name)
        fresh = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
        fresh.write_text(json.dumps(values))
        fresh.replace(path)

    def remove(self, kind, name):
        self._path(kind, name).unlink(missing_ok=True)

    def names(self, kind):
        return sorted(path.stem for path in (self.root / kind).glob("*.json"))

    def note(self, resource_id, call, **values):
        line = json.dumps({"id": resource_id, "call": call, "pid": os.getpid(), **values})
        with (self.root / "calls.jsonl").open("a") as file:
            file.write(line + "\n")

    def calls(self, resource_id=None, call=None):
        try:
            text = (self.root / "calls.jsonl").read_text()
        except FileNotFoundError:
            return []
        # The last line may be in the making, or be the half that a killed process left.
        found = [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]
        return [
            one
            for one in found
            if resource_id in (None, one["id"]) and call in (None, one["call"])
        ]

    def router(self, name, tenant="t1", generation="g1", networks=("n1",)):
        self.write("routers", name, tenant=tenant, generation=generation, networks=list(networks))


class ScriptedInstance:
    """One instance, according to the directory."""

    def __init__(self, resource: events.Resource, cloud: Cloud):
        self.resource = resource
        self.cloud = cloud
        self.state = InstanceState.DOWN
        self.answering = False
        self.serving = False
        self.generation = None
        self.applied_generation = None
        self.networks: frozenset[str] = frozenset()
        self.port_networks: frozenset[str] = frozenset()
        self.tenant_id = ""
        self.error = ""

    @property
    def id(self):
        return self.resource.id

    @property
    def boot_age_s(self):
        server = self.cloud.read("servers", self.id)
        return None if server is None else server.get("age", 0.0)

    def _fault(self, name):
        faults = self.cloud.read("faults", self.id) or {}
        kind = faults.get(name)
        if isinstance(kind, int) and not isinstance(kind, bool):  # so many times
            self.cloud.write("faults", self.id, **{**faults, name: kind - 1 or None})
        return kind

    def _maybe_raise(self, call):
        self.cloud.note(self.id, call)
        match self._fault(call):
            case "retry" | int():
                raise instance_port.Retry(f"{call} is away")
            case "crash":
                raise ZeroDivisionError(call)
            case "fenced":
                raise instance_port.Fenced(f"{call} comes from a stale owner")
            case "operator":
                raise instance_port.OperatorError(f"{call} needs an operator")

    def begin_walk(self):
        pass

    def describe(self, *, ports=False):
        server = self.cloud.read("servers", self.id) or {}
        return instance_port.Description(
            name=f"name-of-{self.id}",
            server_id=f"server-of-{self.id}" if server else "",
            digest=server.get("applied") or "",
            ports=tuple(instance_port.PortView("carrier", f"p-{n}", n) for n in self.networks)
            if ports
            else (),
        )

    def recount(self):
        self.cloud.note(self.id, "recount")

    def use_image(self, image_id):
        self.image_id = image_id

    def outdate(self):
        self.cloud.note(self.id, "outdate")

    def ask_to_switch(self):
        return "it is no pair: one appliance serves it"

    def _read_router(self):
        router = self.cloud.read("routers", self.id)
        if router is None:
            self.state = InstanceState.GONE
            return None
        self.tenant_id, self.generation = router["tenant"], router["generation"]
        self.networks = self.port_networks = frozenset(router["networks"])
        return router

    def _look(self):
        server = self.cloud.read("servers", self.id)
        if server is None:
            return InstanceState.DOWN
        if server.get("nova") == "ERROR":
            return InstanceState.RESTART_NEEDED
        self.answering = server.get("boots", 0) <= 0 and not self._fault("silent")
        if server.get("boots", 0) > 0:
            self.cloud.write("servers", self.id, **{**server, "boots": server["boots"] - 1})
        if not self.answering:
            known = (InstanceState.UP, InstanceState.CONFIGURED, InstanceState.HOTPLUG_NEEDED)
            return self.state if self.state in known else InstanceState.BOOTING
        self.serving = server.get("applied") is not None
        if sorted(server.get("nics", [])) != sorted(self.networks):
            return InstanceState.HOTPLUG_NEEDED
        if server.get("applied") == self.generation:
            return InstanceState.CONFIGURED
        return InstanceState.UP

    def update_state(self):
        self._maybe_raise("update_state")
        if self._read_router() is not None:
            self.state = self._look()
        return self.state

    glance = update_state

    def end_walk(self):
        pass

    def boot(self):
        self._maybe_raise("boot")
        if self._read_router() is None:
            return self.state
        if self.cloud.read("servers", self.id) is None:
            if self._fault("refuse"):
                self.state = InstanceState.DOWN
                raise instance_port.BootFailed("no valid host")
            nova = "ERROR" if self._fault("nova_error") else "ACTIVE"
            boots = 10**9 if self._fault("never_answers") else 1
            self.cloud.write(
                "servers", self.id, nova=nova, boots=boots, nics=sorted(self.networks)
            )
            self.state = InstanceState.BOOTING
        else:
            self.state = self._look()
        return self.state

    def check_boot(self):
        self._maybe_raise("check_boot")
        self.state = self._look()
        return self.state

    def configure(self):
        self._maybe_raise("configure")
        if self._read_router() is None:
            return self.state
        server = self.cloud.read("servers", self.id)
        if server is None:
            self.state = InstanceState.RESTART_NEEDED
            return self.state
        if sorted(server["nics"]) != sorted(self.networks):
            self.state = InstanceState.HOTPLUG_NEEDED
            return self.state
        if self._fault("refuse_document"):
            raise instance_port.ConfigureFailed("driver firewall: no")
        if server.get("applied") != self.generation:
            self.cloud.note(self.id, "push", generation=self.generation)
            self.cloud.write("servers", self.id, **{**server, "applied": self.generation})
        self.applied_generation = self.generation
        self.state, self.serving = InstanceState.CONFIGURED, True
        return self.state

    def replug(self):
        self._maybe_raise("replug")
        server = self.cloud.read("servers", self.id)
        if self._fault("no_hotplug"):
            self.state = InstanceState.HOTPLUG_NEEDED
            return self.state
        self.cloud.write("servers", self.id, **{**server, "nics": sorted(self.networks)})
        self.state = InstanceState.UP
        return self.state

    def stop(self, *, final):
        self._maybe_raise("stop")
        if self._fault("undeletable"):
            self.state = InstanceState.RESTART_NEEDED
            return self.state
        self.cloud.remove("servers", self.id)
        gone = self.cloud.read("routers", self.id) is None
        if final and not gone:
            self.cloud.write("routers", "violation", stopped_for_good=self.id)
        self.state = InstanceState.GONE if final or gone else InstanceState.DOWN
        self.cloud.note(self.id, "stopped", final=final)
        self.answering = self.serving = False
        return self.state

    def read_stats(self):
        self._maybe_raise("read_stats")
        return self.state

    def set_error(self, reason):
        self.cloud.note(self.id, "set_error", reason=reason)
        self.error, self.state = reason, InstanceState.ERROR
        return self.state

    def clear_error(self):
        self._maybe_raise("clear_error")
        if self._read_router() is not None:
            self.state = self._look()
        return self.state

    def let_go(self):
        self.cloud.note(self.id, "let_go")


class Factory:
    """Makes scripted instances."""

    briefing = None

    def __init__(self, cloud):
        self.cloud = cloud

    def create(self, resource):
        return ScriptedInstance(resource, self.cloud)

    def close(self):
        pass


class Inventory:
    """Lists the directory."""

    def __init__(self, cloud):
        self.cloud = cloud

    def pages(self):
        self.cloud.note("", "pages")
        lines = []
        for name in self.cloud.names("routers"):
            if (router := self.cloud.read("routers", name)) is not None:
                resource = events.Resource("router", name, router["tenant"])
                lines.append(instance_port.Listed(resource, router["generation"]))
        yield lines

    def traces(self):
        for name in self.cloud.names("servers"):
            doubled = (self.cloud.read("servers", name) or {}).get("doubled", False)
            yield instance_port.Trace(events.Resource("router", name), doubled)

    def close(self):
        pass


def _here():
    return Cloud(pathlib.Path(os.environ[VARIABLE]))


def open_factory():
    return Factory(_here())


def open_inventory():
    return Inventory(_here())
