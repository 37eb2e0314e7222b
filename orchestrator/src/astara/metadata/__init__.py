"""The metadata proxy on the management network, between the appliances and Nova.

It trusts no address and no name: a request must be signed with the key of its router, and Neutron
must know the instance behind that router.
"""
