"""Bytes to domain values and back: parsing, answers, interpretation of records, legacy formats.

May reject what is malformed; has no framework and no access to the store.
"""
