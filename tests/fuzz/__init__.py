"""What the rows of the other tests don't think of: made-up files, graphs and accidents. `make fuzz MINUTES=10` runs it; CONTRIBUTING.md tells how.

A campaign makes cases from numbers, checks each in a process of its own with bounds, and makes those that fail smaller.
"""
