"""Fakes of the world outside, on real loopback ports: what the gateway is tested and measured against."""
