"""Level 3 · who does a task, how it goes, and what a person is asked."""
