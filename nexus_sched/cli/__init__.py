"""The command line; composition root, the only room that knows everyone."""
