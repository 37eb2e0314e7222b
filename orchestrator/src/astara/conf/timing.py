"""Options about time: deadlines, pauses and budgets of the state machine."""

from oslo_config import cfg

GROUP = None
OPTS = [
    cfg.FloatOpt(
        "health_check_period",
        default=60,
        min=1,
        help="Seconds in which every instance is probed once; the probes are spread evenly. "
        "Shorter heals faster and costs one request per instance and period.",
    ),
    cfg.FloatOpt(
        "boot_timeout",
        mutable=True,
        default=600,
        min=1,
        help="Seconds a server may take from its creation to its first answer before it is "
        "replaced. The default leaves room for a slow image download to the hypervisor.",
    ),
    cfg.FloatOpt(
        "stop_timeout",
        mutable=True,
        default=600,
        min=1,
        help="Seconds Nova may take to delete a server before the resource goes to ERROR.",
    ),
    cfg.FloatOpt(
        "hotplug_timeout",
        mutable=True,
        default=60,
        min=1,
        help="Seconds an attached interface may take to appear inside the appliance before the "
        "server is replaced. The historic default of 10 replaced healthy servers of busy clouds.",
    ),
    cfg.FloatOpt(
        "error_state_cooldown",
        mutable=True,
        default=30,
        min=0,
        help="Seconds of the first pause in ERROR; each further one is twice as long. A change or "
        "a command cuts a pause short, at most once in so many seconds.",
    ),
    cfg.FloatOpt(
        "error_state_cooldown_max",
        mutable=True,
        default=900,
        min=0,
        help="Seconds of the longest pause in ERROR.",
    ),
    cfg.IntOpt(
        "reboot_error_threshold",
        mutable=True,
        default=5,
        min=1,
        help="Failed boots in a row before the resource goes to ERROR, so that a failing "
        "hypervisor is not asked for ever.",
    ),
    cfg.IntOpt(
        "max_retries",
        mutable=True,
        default=3,
        min=1,
        help="Unanswered probes in a row before an instance that used to answer is replaced (see "
        "silent_timeout as well), and refused documents in a row before a fresh one is.",
    ),
    cfg.FloatOpt(
        "silent_timeout",
        mutable=True,
        default=15,
        min=0,
        help="Seconds an instance that used to answer may be silent before it is replaced. Its "
        "traffic flows while only its agent restarts, so patience costs less than a new server.",
    ),
    cfg.IntOpt(
        "health_rebuild_number",
        mutable=True,
        default=3,
        min=0,
        help="So many appliances that do not answer any more a worker may replace within "
        "health_rebuild_window, or the share below if that is more. The others are asked on: when "
        "all are silent at once the management network is at fault, and they serve their tenants.",
    ),
    cfg.FloatOpt(
        "health_rebuild_share",
        mutable=True,
        default=0.02,
        min=0,
        max=1,
        help="The same as a share of the resources that the worker serves, for as many seconds.",
    ),
    cfg.FloatOpt(
        "health_rebuild_window",
        mutable=True,
        default=600,
        min=1,
        help="Seconds for which health_rebuild_number and health_rebuild_share count.",
    ),
    cfg.FloatOpt(
        "retry_delay",
        mutable=True,
        default=1,
        min=0.05,
        help="Seconds of the first pause between tries of the same step (probe, push, boot, "
        "deletion); it doubles up to retry_delay_max and carries jitter.",
    ),
    cfg.FloatOpt(
        "retry_delay_max",
        mutable=True,
        default=30,
        min=1,
        help="Seconds of the longest pause between tries of the same step.",
    ),
    cfg.FloatOpt(
        "boot_poll_interval",
        mutable=True,
        default=1,
        min=0.05,
        help="Seconds between looks at a server that is booting or being deleted. Between looks "
        "no thread is held.",
    ),
    cfg.FloatOpt(
        "alive_timeout",
        default=3,
        min=0.1,
        help="Seconds an appliance has to answer one probe.",
    ),
    cfg.FloatOpt(
        "config_timeout",
        default=90,
        min=1,
        help="Seconds an appliance has to apply a document.",
    ),
]
