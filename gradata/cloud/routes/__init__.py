"""The routes of the API: one handler per resource, which connects a request to a service. They contain no rules."""
