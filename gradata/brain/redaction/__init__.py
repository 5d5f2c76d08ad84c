"""Secrets in texts: what forms they have, and what is written in their place. Pure."""
