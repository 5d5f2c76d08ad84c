"""Programs that are no tests: long runs that take minutes or hours and print figures."""
