"""Level 1 · execution: agents, their tools and the sandbox they compute in."""
