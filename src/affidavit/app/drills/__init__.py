"""Drills: on a copy of a workspace, break one thing and see whether what is promised holds.

One file a drill; ``registry`` lists them. To add one, write a class with the shape of ``promise.Drill`` and name it there.
"""
