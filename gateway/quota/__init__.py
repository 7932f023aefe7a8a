"""Limits, windows and holds: what decides whether an attempt may spend.

One protocol (``store.py``), one algorithm, two stores: ``local.py`` in the process, ``redis.py`` for many
replicas. ``away.py`` says what happens while the store cannot be reached, ``keeper.py`` runs what must happen
from time to time (heartbeats, reaping, drift, rebuild).
"""
