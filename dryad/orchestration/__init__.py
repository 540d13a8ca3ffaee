"""Level 3 · orchestration: who does a task, and what a person is asked first."""
