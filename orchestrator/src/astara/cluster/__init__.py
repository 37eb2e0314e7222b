"""Share the resources between nodes: who is there, who owns what, and how long that is certain."""
