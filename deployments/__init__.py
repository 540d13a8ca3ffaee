"""Which flows are deployed, how they are registered, and the worker that runs them."""
