"""Faults for a whole cloud, drawn by a seed: what is broken, when, and what must be right after.

`schedule` draws, `kinds` break and mend, `draw` is the tenant meanwhile, `truth` judges, `run`
does it all and `report` tells. `cloud` holds the orchestrators that are put through it.
"""
