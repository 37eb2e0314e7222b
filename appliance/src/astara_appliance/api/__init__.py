"""The HTTP face of the appliance: `operations` says what is offered, `views` what is answered,
`server` serves it.
"""
