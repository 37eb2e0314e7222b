"""What an Astara orchestrator and its appliances say to each other.

`document` is the desired configuration that the orchestrator puts on an appliance, `status` what
the appliance answers, `errors` how either side refuses the other. The package decides shapes and
nothing else: it does no I/O and imports neither side.
"""
