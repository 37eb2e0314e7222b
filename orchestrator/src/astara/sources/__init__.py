"""Produce the events that make workers look: notifications, the passing of time, the audit."""
