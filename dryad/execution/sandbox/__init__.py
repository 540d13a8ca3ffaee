"""Code somebody else wrote, run where it can do no harm; see `port`."""
