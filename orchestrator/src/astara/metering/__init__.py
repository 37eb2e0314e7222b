"""From an appliance's counters to figures and notifications.

`traffic` makes amounts of samples (pure), `meter` adds them up for Prometheus and hands them on,
`publisher` sends notifications. Decides nothing about an appliance.
"""
