"""The harness: phases, budgets, memory, training, results; it knows methods by one contract."""
