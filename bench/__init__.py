"""Measured comparisons of the appliance with its peers: `python -m bench --help`."""
