"""`dryad up`: which processes an installation has, in which order, how they are supervised."""
