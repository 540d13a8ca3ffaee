"""Turn files of many formats into Markdown, inside the sandbox: a parser is code others attack."""
