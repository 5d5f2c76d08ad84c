"""HTTP: connections, bodies, middleware, sessions and responses. May not decide what is stored."""
