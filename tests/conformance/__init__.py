"""One suite over every adapter: what a caller asks, what the upstream gets, what comes back, what is told.

``python -m tests.conformance docs/providers.md`` runs it and writes the page.
"""
