"""Level 1 · execution: agents, the models they think with, their tools and their sandbox."""
