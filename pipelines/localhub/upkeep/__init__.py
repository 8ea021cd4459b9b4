"""What is done to a data folder beside serving it: checking it, giving room back, taking repos out. Knows no HTTP."""
