"""Options about the processes themselves and how they reach the message bus."""

import socket

from oslo_config import cfg

GROUP = None
OPTS = [
    cfg.HostAddressOpt(
        "host",
        default=socket.gethostname(),
        sample_default="the host name",
        help="Name of this node. It names the queue of notifications that belongs to this node "
        "alone; change it only if two nodes would otherwise share a name.",
    ),
    cfg.StrOpt(
        "state_path",
        default="/var/lib/astara",
        help="Directory for what must survive a restart of a process, and for the sockets under "
        "`run/`. One orchestrator per directory: a lock refuses the second.",
    ),
    cfg.IntOpt(
        "num_worker_processes",
        default=4,
        min=1,
        max=256,
        help="Number of worker processes. A tenant's resources live in one of them. The historic "
        "default of 16 paid for the interpreter lock of a busier code; 4 drive thousands of "
        "appliances.",
    ),
    cfg.IntOpt(
        "num_worker_threads",
        default=4,
        min=1,
        max=256,
        help="Threads per worker process; each may talk to one appliance, Nova or Neutron at a "
        "time. Raise it if Nova answers slowly and many routers boot at once.",
    ),
    cfg.StrOpt(
        "shard_by",
        default="tenant",
        choices=[
            ("tenant", "all resources of a tenant share a worker process"),
            ("resource", "resources are spread one by one, for clouds with one huge tenant"),
        ],
        help="What decides which worker process owns a resource.",
    ),
    cfg.IntOpt(
        "worker_inbox_limit",
        default=10000,
        min=100,
        help="Number of messages kept for a worker that does not take them. What comes beyond is "
        "dropped, counted, logged, and found again by the next audit.",
    ),
    cfg.FloatOpt(
        "shutdown_timeout",
        default=30,
        min=1,
        help="Seconds that running steps get to end after SIGTERM before they are cut off. Any "
        "step may be cut off: each one is repeated from its beginning.",
    ),
    cfg.FloatOpt(
        "process_heartbeat_timeout",
        default=60,
        min=0,
        help="Seconds without a sign of life after which a process of this node is killed and "
        "started again: one that was stopped, or in which one call keeps all threads waiting. "
        "Raise it on a machine that swaps; 0 leaves it to the operator.",
    ),
    cfg.ListOpt(
        "enabled_processes",
        item_type=cfg.types.String(
            choices=["preflight", "listener", "worker", "health", "metadata", "api"]
        ),
        default=["preflight", "listener", "worker", "health", "metadata", "api"],
        help="Kinds of processes that this node runs. Leave out `metadata` where no tenant needs "
        "it, or `preflight` where the management port is plugged by other means. Without `api` "
        "neither astara-ctl nor the HTTP API reaches this node.",
    ),
    cfg.ListOpt(
        "enabled_drivers",
        default=["router"],
        help="Kinds of resources to serve. Currently `router` alone.",
    ),
    cfg.StrOpt(
        "neutron_control_exchange",
        default="neutron",
        help="Exchange to which Neutron publishes notifications; `control_exchange` in "
        "neutron.conf.",
    ),
    cfg.StrOpt(
        "nova_control_exchange",
        default="nova",
        help="Exchange to which Nova publishes notifications; `control_exchange` in nova.conf. A "
        "server that ends behind our back is noticed at once by them, at the next poll without. "
        "Empty: do not listen.",
    ),
    cfg.ListOpt(
        "notification_topics",
        default=["notifications"],
        help="Topics of Neutron's notifications; `topics` of [oslo_messaging_notifications] in "
        "neutron.conf.",
    ),
    cfg.StrOpt(
        "instance_factory",
        default="astara.instance.factory:open_factory",
        advanced=True,
        help="Python function (module:function) that makes what drives instances. Only a test of "
        "scale or of the orchestrator's processes has a reason to change it.",
    ),
    cfg.StrOpt(
        "instance_inventory",
        default="astara.instance.inventory:open_inventory",
        advanced=True,
        help="Python function (module:function) that lists what ought to be served; see "
        "instance_factory.",
    ),
]
