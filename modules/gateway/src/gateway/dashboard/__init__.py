"""What the gateway shows over HTTP to the people who run it; on loopback unless told otherwise.

The counters are for all, everything else is for whoever has logged in (`edgepage.guard`). What pages show and change
they get from a desk that `app` implements. Nothing but `server` is loaded before the first visitor comes.

Entry points: `server.DashboardServer`, `claims.ClaimsPages`, `door.HOUSE`.
"""
