"""Figures of boards, runs, certificates, barriers and predictions, all in one style."""
