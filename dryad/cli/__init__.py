"""The command line: data on stdout, talk on stderr; exit 0 done, 1 refused or failed, 2 usage."""
