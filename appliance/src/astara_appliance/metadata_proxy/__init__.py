"""The metadata proxy: passes tenants' metadata requests on to the orchestrator, signed.

A process of its own that outlives the agent. It imports nothing of the agent and little of the
standard library, because it sits in the memory of every appliance: `settings` (who is who, from
one JSON file), `http1` (the little HTTP that this takes), `relay` (one request), `neighbours` (the
kernel's neighbour table), `server` (listeners and threads). Started by cmd.metadata_proxy.
"""
