"""The mirror of short-term memory: its port, and an adapter for each server that can be one."""
