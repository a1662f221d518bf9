"""What the gateway shows over HTTP to the people who run it; on loopback unless told otherwise.

Entry point: `server.DashboardServer`.
"""
