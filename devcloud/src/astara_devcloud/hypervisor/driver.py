"""Nova's verbs, each a few lines over `store`, `vif`, `lifecycle` and `config_drive`.

It decides what Nova sees and which exception it gets. Nova calls it from many threads, mostly
under its own lock per server; events of deleted ports come without, so each verb that changes
something takes the server's lock here.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import nova.conf
import os_resource_classes
from nova import exception
from nova.compute import power_state
from nova.objects import fields
from nova.virt import configdrive, driver, hardware
from nova.virt import event as virt_event
from oslo_concurrency import lockutils
from oslo_log import log as logging

from . import commands, config_drive, errors, lifecycle, namespace, watcher, wiring
from . import vif as vif_plugging
from .store import Server, Store

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

# Namespaces cost next to nothing: what bounds the number of servers is the host's memory, which
# Nova is not told.
VCPUS, MEMORY_MB, DISK_GB = 2000, 4_000_000, 100_000
SOFT_STOP_S = 5.0
GUEST_PROPERTY = "image_devcloud_guest"


class NamespaceDriver(driver.ComputeDriver):
    """A compute driver whose servers are namespaces of this host."""

    capabilities = {  # noqa: RUF012 - overrides an attribute of Nova's base class
        **driver.ComputeDriver.capabilities,
        "supports_attach_interface": True,
        "supports_tagged_attach_interface": True,
        "supports_device_tagging": True,
        "supports_image_type_raw": True,
    }

    # --- the host --------------------------------------------------------------------------------

    def init_host(self, host: str) -> None:
        """Get ready; guests of an earlier nova-compute are simply still there."""
        self._store = Store(pathlib.Path(CONF.state_path) / "instances")
        self._store.root.mkdir(parents=True, exist_ok=True)
        watching = watcher.Watcher(self._store, self._lock, self._tell_stopped)
        if CONF.resume_guests_state_on_host_boot:
            watching.overlook()  # Nova is about to start them, and would be told to stop them
        watching.start()
        wiring.Mender(self._store, self._lock).start()

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Name the one node of this host."""
        return [CONF.host]

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Describe the node; nothing is ever used up."""
        kind = (fields.Architecture.X86_64, fields.HVType.LXC, fields.VMMode.EXE)
        return {
            "vcpus": VCPUS,
            "memory_mb": MEMORY_MB,
            "local_gb": DISK_GB,
            "vcpus_used": 0,
            "memory_mb_used": 0,
            "local_gb_used": 0,
            "disk_available_least": DISK_GB,
            "hypervisor_type": "namespaces",
            "hypervisor_version": 1,
            "hypervisor_hostname": nodename,
            "cpu_info": "{}",
            "numa_topology": None,
            "supported_instances": [kind],
        }

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        """Tell Placement the same."""
        ratios = self._get_allocation_ratios(provider_tree.data(nodename).inventory)
        totals = (
            (os_resource_classes.VCPU, VCPUS),
            (os_resource_classes.MEMORY_MB, MEMORY_MB),
            (os_resource_classes.DISK_GB, DISK_GB),
        )
        inventory = {
            name: {
                "total": total,
                "min_unit": 1,
                "max_unit": total,
                "step_size": 1,
                "allocation_ratio": ratios[name],
                "reserved": 0,
            }
            for name, total in totals
        }
        provider_tree.update_inventory(nodename, inventory)

    def get_host_uptime(self) -> str:
        """Return what `uptime` says."""
        return commands.run(["uptime"]).strip()

    # --- what there is ---------------------------------------------------------------------------

    def list_instance_uuids(self) -> list[str]:
        """List the servers of this host, running or not."""
        return self._store.uuids()

    def list_instances(self) -> list[str]:
        """List the names of the servers of this host."""
        servers = map(self._store.server, self._store.uuids())
        return [server.name for server in servers if server is not None]

    def get_num_instances(self) -> int:
        """Count the servers of this host."""
        return len(self._store.uuids())

    def instance_exists(self, instance: Any) -> bool:
        """Tell whether the server is on this host."""
        return self._store.exists(instance.uuid)

    def instance_on_disk(self, instance: Any) -> bool:
        """Tell whether the server's files are on this host."""
        return self._store.exists(instance.uuid)

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        """Return the power state as the kernel knows it."""
        if not self._store.exists(instance.uuid):
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        running = lifecycle.running_pid(self._store, instance.uuid) is not None
        return hardware.InstanceInfo(
            state=power_state.RUNNING if running else power_state.SHUTDOWN
        )

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        """Return the end of what the guest printed."""
        try:
            return self._store.console(instance.uuid)
        except FileNotFoundError as exc:
            raise exception.ConsoleLogOutputException(
                instance_id=instance.uuid, error="no console log"
            ) from exc

    # --- VIFs ------------------------------------------------------------------------------------

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        """Put right what is missing; called for every server when nova-compute starts."""
        with self._changing(instance):
            self._plug(instance.uuid, network_info)

    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        """Take all VIFs away from a server."""
        with self._changing(instance):
            self._drop(instance.uuid, network_info)

    def attach_interface(self, context: Any, instance: Any, image_meta: Any, vif: Any) -> None:
        """Hot-plug a VIF: the guest sees a new NIC at once."""
        with self._changing(instance), contextlib.ExitStack() as undo:
            undo.callback(self._drop, instance.uuid, [vif])
            self._plug(instance.uuid, [vif])
            undo.pop_all()

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        """Hot-unplug a VIF; one that is gone, or whose server is gone, is no failure."""
        with self._changing(instance):
            self._drop(instance.uuid, [vif])

    def _plug(self, uuid: str, vifs: Any) -> None:
        nics = vif_plugging.assign(self._store.nics(uuid), vifs or [])
        # Written first: whatever happens next, destroy knows what to look for.
        self._store.save_nics(uuid, nics)
        vif_plugging.plug(uuid, nics)
        if lifecycle.running_pid(self._store, uuid) is not None:
            namespace.move_in(uuid, nics)

    def _drop(self, uuid: str, vifs: Any) -> None:
        taps = {vif_plugging.tap_name(vif) for vif in vifs or []}
        vif_plugging.unplug(taps)
        left = [nic for nic in self._store.nics(uuid) if nic.tap not in taps]
        self._store.save_nics(uuid, left)

    # --- life ------------------------------------------------------------------------------------

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        """Make a server and start it; what a failed attempt made is removed again."""
        vifs = list(network_info or [])
        try:
            with contextlib.ExitStack() as undo:
                undo.callback(self.destroy, context, instance, network_info)
                with self._wired(instance, vifs), self._changing(instance):
                    self._make(instance, injected_files, admin_password, vifs)
                    if power_on:
                        lifecycle.start(self._store, instance.uuid, [CONF.state_path])
                undo.pop_all()
        except exception.InternalError as exc:
            # Nova would try the next host otherwise, and hide the reason: there is no next host.
            raise exception.BuildAbortException(
                instance_uuid=instance.uuid, reason=exc.format_message()
            ) from exc

    def _make(self, instance: Any, files: Any, password: Any, vifs: list[Any]) -> None:
        server = Server(
            uuid=instance.uuid,
            name=instance.name,
            display_name=instance.display_name or instance.name,
            hostname=instance.hostname or instance.name,
            guest=lifecycle.check_guest(instance.system_metadata.get(GUEST_PROPERTY)),
        )
        self._store.create(server)
        self._plug(instance.uuid, vifs)
        if configdrive.required_by(instance):
            directory = self._store.directory(instance.uuid) / "config"
            config_drive.write(directory, instance, files, password, vifs)

    @contextlib.contextmanager
    def _wired(self, instance: Any, vifs: list[Any]) -> Iterator[None]:
        """Wait, after the body, until Neutron says that the VIFs are wired."""
        waited = [("network-vif-plugged", one["id"]) for one in vifs if one.get("active") is False]
        timeout_s = CONF.vif_plugging_timeout
        try:
            with self.virtapi.wait_for_instance_event(
                instance,
                waited if timeout_s else [],
                timeout=timeout_s,
                error_callback=self._wiring_failed,
            ):
                yield
        except exception.InstanceEventTimeout as exc:
            if CONF.vif_plugging_is_fatal:
                raise exception.InternalError(
                    f"Neutron did not say within {timeout_s} s that the ports "
                    f"{[port for _, port in waited]} are wired: is its openvswitch agent alive?"
                ) from exc

    def _wiring_failed(self, event_name: str, instance: Any) -> bool:
        if CONF.vif_plugging_is_fatal:
            raise exception.InternalError(f"Neutron failed to wire a port: {event_name}")
        return True

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Remove a server, complete or half-made."""
        with self._changing(instance):
            lifecycle.stop(self._store, instance.uuid, grace_s=0)
        self.cleanup(context, instance, network_info, block_device_info, destroy_disks)

    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        migrate_data: Any = None,
        destroy_vifs: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Remove what a stopped server has on this host."""
        with self._changing(instance):
            taps = {nic.tap for nic in self._store.nics(instance.uuid)}
            taps.update(map(vif_plugging.tap_name, network_info or []))
            if destroy_vifs:
                vif_plugging.unplug(taps)
            if destroy_disks:
                self._store.delete(instance.uuid)

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        """Stop a server: gently if Nova gives it time."""
        with self._changing(instance):
            lifecycle.stop(self._store, instance.uuid, min(timeout, SOFT_STOP_S))

    def power_on(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Start a server; its VIFs are those that Nova names now."""
        with self._changing(instance):
            uuid = instance.uuid
            lifecycle.stop(self._store, uuid, grace_s=0)
            named = {vif_plugging.tap_name(vif) for vif in network_info or []}
            gone = [nic for nic in self._store.nics(uuid) if nic.tap not in named]
            vif_plugging.unplug(nic.tap for nic in gone)
            kept = [nic for nic in self._store.nics(uuid) if nic not in gone]
            self._store.save_nics(uuid, kept)
            self._plug(uuid, network_info)
            lifecycle.start(self._store, uuid, [CONF.state_path])

    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        block_device_info: Any = None,
        bad_volumes_callback: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Stop and start, gently or not; the Neutron ports never notice."""
        self.power_off(instance, int(SOFT_STOP_S) if reboot_type == "SOFT" else 0)
        self.power_on(context, instance, network_info)

    def resume_state_on_host_boot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        share_info: Any = None,
        block_device_info: Any = None,
    ) -> None:
        """Start a server that ran when the host went down."""
        if lifecycle.running_pid(self._store, instance.uuid) is None:
            self.power_on(context, instance, network_info)

    # --- seams -----------------------------------------------------------------------------------

    def _lock(self, uuid: str) -> contextlib.AbstractContextManager[object]:
        lock: contextlib.AbstractContextManager[object] = lockutils.lock(f"guest-{uuid}")
        return lock

    @contextlib.contextmanager
    def _changing(self, instance: Any) -> Iterator[None]:
        """Hold the server's lock, and turn our errors into one that Nova shows to its operator."""
        with self._lock(instance.uuid):
            try:
                yield
            except errors.HypervisorError as exc:
                raise exception.InternalError(str(exc)) from exc

    def _tell_stopped(self, uuid: str) -> None:
        LOG.warning("guest of server %s ended by itself", uuid)
        self.emit_event(virt_event.LifecycleEvent(uuid, virt_event.EVENT_LIFECYCLE_STOPPED))
