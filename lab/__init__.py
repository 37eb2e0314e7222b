"""Real appliances between real networks, in throw-away namespaces: for tests and benchmarks.

    host = appliance.ApplianceHost()
    nic = host.plug("blue")             # a NIC on network "blue", made when first named
    vm = host.segments["blue"].add_host("vm1", ["192.168.0.10/24"], gateway="192.168.0.1")
    host.start_agent()
    network = host.network("internal", nic, ["192.168.0.1/24"], ["192.168.0.0/24"])
    host.push(host.document([network]))
    assert vm.pings("192.168.0.1")
    host.close()

Requests to the API come from a machine on the management network, as the orchestrator's would.
`close` removes everything: processes by the end of their PID namespace, devices and namespaces by
name.
"""
