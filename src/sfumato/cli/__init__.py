"""The command line: parse, call one function, print. Nothing imports this package."""
