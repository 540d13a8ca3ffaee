"""`python -m dryad`: the command line."""

from dryad.cli.main import main

if __name__ == "__main__":
    main()
