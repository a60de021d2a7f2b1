"""The frame around every snapshot. For the compiled modules beside it; nothing is callable from Python."""

__pyx_capi__: dict[str, object]  # the C functions, as capsules
