"""The HTTP API: `part` listens, `protocol` bounds connections, `door` decides who comes in, `app` has the routes.

`problems` turns errors into answers (RFC 9457) · `services` is what routes work with · `*_routes` the routes by noun ·
`schema` the OpenAPI document.
"""
