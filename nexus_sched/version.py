"""The version of the package, in one place. Read by the build without importing anything."""

VERSION = "0.1.0"
