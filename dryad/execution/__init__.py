"""Level 1 · execution: agents, the models they think with, the tools they use."""
