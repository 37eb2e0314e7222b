"""The HTTP face of the appliance: `routes` says what is answered, `server` runs it behind
gunicorn.
"""
