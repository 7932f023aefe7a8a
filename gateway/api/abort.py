"""How a handler breaks its connection off, which ASGI has no word for."""

ABORT = "imagegate.abort"
"""Key of ``scope["state"]``: a function that drops the connection with all that was not yet sent."""
