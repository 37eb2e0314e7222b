"""Assemble one worker process and run it until it is told to stop.

Entry of the role `worker`. The instance factory is imported here and nowhere else, so that only
workers pay for the clients. On start it asks for an audit: whatever its predecessor knew is found
again.
"""

import functools
import logging
import threading

from oslo_config import cfg

from astara_contract import structs

from .. import clock, events, inbox, scheduler, store
from ..cluster import placement
from ..conf import identity
from ..machine import automaton, budget, instance_port, patience
from ..supervisor import roles
from . import control, control_protocol, gate, pool, registry, watch

LOG = logging.getLogger(__name__)

# How many heartbeats a step that runs on another node gets to end before we act ourselves.
GRACE_HEARTBEATS = 3


def policy_of(conf: cfg.ConfigOpts) -> patience.Policy:
    """Read the budgets of the state machine from the configuration."""
    return patience.Policy(
        boot_timeout_s=conf.boot_timeout,
        stop_timeout_s=conf.stop_timeout,
        hotplug_timeout_s=conf.hotplug_timeout,
        silent_timeout_s=conf.silent_timeout,
        cooldown_s=conf.error_state_cooldown,
        cooldown_max_s=conf.error_state_cooldown_max,
        boot_attempts=conf.reboot_error_threshold,
        tries=conf.max_retries,
        retry_delay_s=conf.retry_delay,
        retry_delay_max_s=conf.retry_delay_max,
        watch_interval_s=conf.boot_poll_interval,
    )


def limits_of(conf: cfg.ConfigOpts) -> budget.Limits:
    """Give how many silent appliances this worker may give up."""
    return budget.Limits(
        number=conf.health_rebuild_number,
        share=conf.health_rebuild_share,
        window_s=conf.health_rebuild_window,
    )


def _owns(conf: cfg.ConfigOpts, number: int, resource: events.Resource, tenant_id: str) -> bool:
    owned = events.Resource(resource.driver, resource.id, tenant_id)
    return scheduler.shard(owned, conf.num_worker_processes, conf.shard_by) == number


def placement_of(conf: cfg.ConfigOpts, time: clock.Clock) -> placement.Placement:
    """Give what tells whether a resource belongs to this node."""
    options = conf.coordination
    if not options.enabled:
        return placement.Alone()
    grace_s = GRACE_HEARTBEATS * options.heartbeat_interval
    return placement.Shared(conf.host, conf.hash_partition_exponent, grace_s, time)


def run(conf: cfg.ConfigOpts, number: int, stop: threading.Event) -> None:
    """Serve this worker's share of the resources until `stop` is set."""
    identity.register(conf)
    factory: instance_port.InstanceFactory = roles.load(conf.instance_factory)()
    time = clock.SystemClock()
    policy = policy_of(conf)
    outgoing = scheduler.Scheduler(conf)
    places = placement_of(conf, time)
    entrance = gate.Gate(places)

    def make(resource: events.Resource) -> automaton.Automaton:
        owns = functools.partial(_owns, conf, number, resource)
        ruling = functools.partial(entrance.ruling, resource.id)
        return automaton.Automaton(
            factory.create(resource), policy, time, owns, gate=ruling, give_up=rebuilds.spend
        )

    slots = registry.Registry(
        make, time, outgoing.send, entrance.ours, factory.briefing, registry.SETTLE_S
    )
    rebuilds = budget.Budget(limits_of(conf), lambda: slots.count, time)

    def take(message: events.Message) -> None:
        if not isinstance(message, events.Membership):
            slots.handle(message)
            return
        moved = places.learn(message)
        slots.reconsider(everything=moved)
        if moved:  # what has come to us is found by an audit
            outgoing.send(events.AuditRequest("the nodes changed"))

    def adopt() -> None:
        """Take over budgets and times that a reload of the configuration has changed."""
        nonlocal policy
        policy = policy_of(conf)
        rebuilds.adopt(limits_of(conf))
        for slot in slots.all_slots():
            slot.automaton.adopt(policy)

    opened = store.store_of(conf)
    interval_s = conf.database.debug_refresh_interval
    watching = watch.DebugWatch(
        opened, entrance, lambda: slots.reconsider(everything=True), time, interval_s
    )
    threads = pool.Pool(slots, conf.num_worker_threads, stop.is_set)
    name = scheduler.worker_name(number)
    incoming = inbox.Inbox(scheduler.socket_path(conf.state_path, name), take)
    desk = control.Desk(conf.host, number, slots, threads, factory, rebuilds.left)
    questions = control.Server(control_protocol.path_of(conf.state_path, number), desk.answer)
    watching.look()  # what is in debug is left alone from the first step on
    conf.register_mutate_hook(lambda *_: adopt())
    structs.prepare()  # those that came with the factory
    threads.start()
    threading.Thread(target=watching.run, args=(stop,), name="debug", daemon=True).start()
    incoming.start()
    questions.start()
    outgoing.send(events.AuditRequest(f"{name} started"))
    LOG.info("worker.started number=%d threads=%d", number, conf.num_worker_threads)
    stop.wait()
    incoming.close()
    questions.close()
    slots.close()
    drained = threads.join(conf.shutdown_timeout)
    outgoing.close()
    factory.close()
    opened.close()
    LOG.info("worker.stopped number=%d drained=%s phases=%s", number, drained, slots.census())
