"""The decisions of the cloud: pure functions of values. No I/O, no framework, no clock, no randomness.

A store calls `plan` under its lock and executes the result; everything else here is called by `service`.
"""
