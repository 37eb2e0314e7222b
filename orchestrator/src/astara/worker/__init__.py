"""Run the automata of one share of the resources: one process, a pool of threads, a timer."""
