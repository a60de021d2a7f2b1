"""The frame around every snapshot of the kernel. For the compiled modules beside it; nothing is callable from Python."""
