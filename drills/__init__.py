"""Drills: the whole program under faults that take minutes to play through. Each says what it proved, or fails."""
