"""Level 2 · stateful memory."""
