"""The configuration: its schema, its sources, and errors that say where and what.

`schema` the structs and the meaning of each key (a leaf) · `describe` the schema as data · `sources` file,
environment and flags · `locate` lines of a file · `values` units and bounds · `load` all of it together ·
`engine` the part decisions depend on · `reference` the page in docs/ · `suggest` did you mean.

Import the modules: this file imports nothing, so that `schema` stays a leaf.
"""
