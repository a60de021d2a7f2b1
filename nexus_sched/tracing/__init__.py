"""Spans of a task's life, made outside the decision process. Nothing here loads OpenTelemetry until a span is exported.

`model.trace` is the context that travels, `span` a span as data, `journal` from turns of the journal to spans, `sink`
sends them, `otlp` is the one module that loads OpenTelemetry.
"""
