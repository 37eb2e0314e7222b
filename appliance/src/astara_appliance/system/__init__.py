"""The only room that forks, writes files, signals daemons or touches sysctls.

Everything else in the appliance computes; what it computed takes effect through these modules.
Drivers call them, nothing here knows a document.
"""
