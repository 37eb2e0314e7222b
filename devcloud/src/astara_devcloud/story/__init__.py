"""The story of a tenant's router, played on the devcloud and checked from the outside.

`steps` is the story itself, `play` runs it and prints the table, `tenant` draws the tenant's
objects, `appliance` is what an operator can see of the router, `probes` sends the packets. ``make
demo`` plays it for people, the end to end tests for CI.
"""
