"""The orchestrator's own certificate authorities: who may talk to whom on the management network.

`authority` makes and signs, `seal` keeps private keys closed in the database, `trust` gives the
clients their TLS contexts and appliances their bundles.
"""
