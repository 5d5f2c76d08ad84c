"""HTTP: connections, bodies, middleware, sessions and responses.

May enforce sizes and time-outs and map errors to problem documents; may not decide what is stored.
"""
