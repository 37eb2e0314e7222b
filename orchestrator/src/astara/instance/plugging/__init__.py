"""How a node plugs its own management port: one module per kind of switch.

Each offers ``plug(port) -> device name``, which may be called again and again, and uses nothing
but ``run`` of ``command``.
"""
