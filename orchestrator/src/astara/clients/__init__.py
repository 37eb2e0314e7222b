"""The only places that talk to other services: Neutron, Nova and the appliances.

Everything here takes and returns frozen data, gives every call a deadline, and raises one of the
classes of ``errors``; nothing here decides what should happen next.
"""
