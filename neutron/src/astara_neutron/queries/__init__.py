"""All SQL of this package, and the only place that knows Neutron's tables.

Reads are set-based: the number of statements is the same for one router and for a page of
hundreds. They select columns, not objects, so nothing is lazily loaded behind our back. Every
function expects the caller's transaction: on MariaDB its snapshot makes all statements see one
state of the database.
"""
