"""Web pages for the people who run a server: who may see them, and the parts that they are made of.

Knows nothing of what is shown: the gateway and the stand-in give it their names, their views and what they report.

Entry points: `guard.Guard`, `template.document`.
"""
