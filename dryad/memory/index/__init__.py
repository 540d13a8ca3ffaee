"""The mirror of long-term memory: its port, and an adapter for each server that can be one."""
