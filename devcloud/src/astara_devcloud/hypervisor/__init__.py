"""A Nova hypervisor whose servers are Linux namespaces on this host.

`driver` holds Nova's verbs and is the only module here that imports Nova (with `config_drive` and
`compute`); the rest (`store`, `vif`, `namespace`, `lifecycle`, `boot`) works without it, so that
tests and the demo can look at servers without loading Nova.
"""
