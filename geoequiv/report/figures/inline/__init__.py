"""Plots that are part of a leaderboard's page or picture: SVG as text, in the colours of the reader's theme.

They need no matplotlib, follow light and dark themes by CSS, show tooltips, and are equal byte for byte for equal
records. Every other figure is drawn by matplotlib (see ``figures.style``).
"""
