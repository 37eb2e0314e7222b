"""The appliance's part in a pair: who has the router's addresses, decided while the agent may be
away.

`guard` is the process (`cmd.pair_guard` starts it), `settings` what the agent tells it, `state`
what it tells the agent.
"""
