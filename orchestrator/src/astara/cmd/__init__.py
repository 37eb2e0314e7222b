"""Hold the entry points of processes; each parses its arguments and hands over."""
