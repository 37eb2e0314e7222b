"""Options about several orchestrator nodes that share the work."""

from oslo_config import cfg

GROUP = "coordination"
OPTS = [
    cfg.BoolOpt(
        "enabled",
        default=False,
        help="Share the resources with other nodes. Without it this node serves all of them, and "
        "no coordination service is needed. All nodes need the same [database] connection.",
    ),
    cfg.StrOpt(
        "url",
        default="zookeeper://127.0.0.1:2181",
        secret=True,
        help="Coordination service, as tooz understands it: zookeeper://, etcd3+http://, "
        "redis://, memcached://, file:// (nodes on one machine).",
    ),
    cfg.StrOpt(
        "group_id",
        default="astara.orchestrator",
        help="Name of the group of nodes; another cloud on the same coordination service or on "
        "the same message broker needs another.",
    ),
    cfg.FloatOpt(
        "heartbeat_interval",
        default=1,
        min=0.1,
        help="Seconds between heartbeats: how soon a joining or leaving node is noticed.",
    ),
    cfg.IntOpt(
        "member_timeout",
        default=10,
        min=2,
        help="Seconds without heartbeat after which a node has lost its resources: it stops "
        "writing, the others take over. Shorter heals faster and forgives less. It is passed to "
        "the service unless `url` says otherwise (?timeout=).",
    ),
]

DEFAULT_OPTS = [
    cfg.IntOpt(
        "hash_partition_exponent",
        default=8,
        min=0,
        max=16,
        help="Each node has two to this power points on the hash ring, and must have as many as "
        "the others. More points spread the resources more evenly (8: to about 6 %); the historic "
        "default of 5 leaves a node a fifth more than its share.",
    ),
]
