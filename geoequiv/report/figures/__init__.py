"""Figures of boards, runs, certificates, barriers and predictions.

There are two ways of drawing, and each figure has one: what stands inside a leaderboard is SVG text (``inline``), all
else is drawn by matplotlib in one style (``style``).
"""
