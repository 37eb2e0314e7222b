"""Hold the state machine of one resource; pure but for the walk in `automaton`."""
