"""The provider that needs no key: it draws a real picture, costs nothing, and fails on demand.

How a newcomer, a test and a drill use the gateway. What a prompt can ask it to do is in directives.py.
"""

from providers.sandbox.provider import Sandbox

__all__ = ["Sandbox"]
