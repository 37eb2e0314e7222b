"""Configuration files of every service, rendered by pure functions of the settings.

One module per service. Each public function returns the whole text of one file; nothing here
touches the disk. ``services`` decides where the files go, ``supervise`` writes them.
"""
