"""The effectful shell around one appliance: boot, probe, configure, replug, stop.

``factory`` and ``inventory`` are the ways in; ``machine.instance_port`` describes what comes out.
"""
