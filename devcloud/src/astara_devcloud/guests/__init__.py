"""What a server runs: one shell script per guest, the PID 1 of the server's namespaces.

An image names its guest by the property `devcloud_guest`; `kinds` knows them all. The scripts and
programs beside it run inside the servers, where nothing of this package is importable.
"""
