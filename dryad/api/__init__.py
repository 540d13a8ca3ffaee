"""The HTTP edge: what programs and the command line talk to."""
