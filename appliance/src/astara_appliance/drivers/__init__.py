"""One folder or module per thing the appliance configures; all share the verbs of
`base.Driver`.
"""
