"""The severities of a correction, least first."""

from __future__ import annotations

SEVERITIES = ("as-is", "minor", "moderate", "major", "discarded")
