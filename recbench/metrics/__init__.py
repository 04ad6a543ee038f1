"""Metrics by name; a metric's convention is its name, never an option."""

from recbench.metrics.base import MetricName, MetricText, parse, register, registry

__all__ = ["MetricName", "MetricText", "parse", "register", "registry"]
