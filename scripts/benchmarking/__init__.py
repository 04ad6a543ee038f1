"""What ``scripts/benchmark`` is made of: data, one worker a system, the tasks, and the page."""
