"""Wires the rooms together: settings, start, life, stop.

Entry points: `settings.read_environment`, `document.read_settings`, `run.run`.
"""
