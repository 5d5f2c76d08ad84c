"""The decisions of the cloud as pure functions of values: no I/O, no framework, no clock."""
