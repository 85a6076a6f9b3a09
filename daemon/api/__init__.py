"""
What the daemon answers over HTTP, without the sockets: `papertape.daemon.server` has those.

    models   requests and answers, as pydantic models
    routes   the registry of routes, and OpenAPI 3.1 made from it
    access   who may ask: addresses, tokens, host names
"""
