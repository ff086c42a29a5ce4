"""Passes: functions over a graph, one file each."""
